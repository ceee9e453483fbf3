FROM golang:1.23@sha256:@{digest} AS build
WORKDIR /src
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -ldflags="-X main.version=${VERSION}" -o /api ./cmd/api

FROM gcr.io/distroless/static-debian12:nonroot@sha256:@{digest}
COPY --from=build /api /api
ENTRYPOINT ["/api"]
