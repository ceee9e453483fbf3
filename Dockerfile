# syntax=docker/dockerfile:1
FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements ./requirements
RUN python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt \
 && python -m venv /usr/local/rotator \
 && /usr/local/rotator/bin/pip install --no-cache-dir --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY rotator ./rotator
COPY migrations ./migrations
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /usr/local/rotator/bin/pip install --no-cache-dir --no-deps /wheels/*.whl

FROM python:3.12-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin rotator \
 && install --directory --owner rotator --group rotator --mode 0700 /data
COPY --from=build /usr/local/rotator /usr/local/rotator
COPY docker-entrypoint.sh /usr/local/bin/rotator-entrypoint
ENV PATH=/usr/local/rotator/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ROTATOR_DATABASE_URL=sqlite:////data/rotator.db \
    ROTATOR_MANIFEST=/etc/rotator/rotator.toml \
    ROTATOR_LOG_FORMAT=json
WORKDIR /data
VOLUME /data
HEALTHCHECK --interval=30s --timeout=15s --start-period=30s CMD ["rotator", "health"]
ENTRYPOINT ["tini", "--", "rotator-entrypoint"]
CMD ["run", "--migrate"]
