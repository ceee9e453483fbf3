"""The rules on configuration files: fly.toml in all its forms, and Dockerfiles.

What a field means is taken from Fly's reference of the configuration and of its public services.
"""

from __future__ import annotations

from typing import Final

from rotator.domain.posture.finding import Rule, Topic
from rotator.domain.risk import Risk

_DOCS: Final = "https://fly.io/docs"
_REFERENCE: Final = f"{_DOCS}/reference/configuration/"
_SECRETS: Final = f"{_DOCS}/apps/secrets/"
_BUILD_SECRETS: Final = f"{_DOCS}/apps/build-secrets/"
_SERVICES: Final = f"{_DOCS}/networking/services/"
_FLYCAST: Final = f"{_DOCS}/networking/flycast/"


def _rule(  # noqa: PLR0917 - it is a table
    id_: str, risk: Risk, title: str, why: str, mend: str, page: str
) -> Rule:
    return Rule(id_, Topic.CONFIG, risk, title, why, mend, page)


SECRET_IN_ENV: Final = _rule(
    "secret-in-env",
    Risk.HIGH,
    "A secret stands in [env]",
    "Whoever can read the repository, the release or the machine's configuration has it, and it "
    "stays in their history after it is taken out.",
    "Take the line out, replace the value, and set the new one with fly secrets set.",
    _SECRETS,
)
SECRET_IN_BUILD_ARGS: Final = _rule(
    "secret-in-build-args",
    Risk.HIGH,
    "A secret stands in [build.args]",
    "Build arguments are kept in the repository and in the history of the image.",
    "Mount it with RUN --mount=type=secret and give it with fly deploy --build-secret.",
    _BUILD_SECRETS,
)
SECRET_IN_COMMAND: Final = _rule(
    "secret-in-command",
    Risk.HIGH,
    "A secret stands in a command",
    "A command is in the repository, in the machine's configuration, and in the list of processes.",
    "Let the program read it from its environment, and set it with fly secrets set.",
    _SECRETS,
)
SECRET_IN_HEADER: Final = _rule(
    "secret-in-check-header",
    Risk.HIGH,
    "A secret stands in a health check's header",
    "A check's headers are in the repository and in the machine's configuration, which every token "
    "for the app can read.",
    "Give the check a path that needs no login; checks come over the private network.",
    f"{_DOCS}/reference/health-checks/",
)
SECRET_IN_FILE_VALUE: Final = _rule(
    "secret-in-file-value",
    Risk.HIGH,
    "A secret stands in raw_value of [[files]]",
    "Base64 hides nothing: whoever can read the repository or the machine's configuration has it.",
    "Use secret_name instead of raw_value, and set that secret with fly secrets set.",
    f"{_REFERENCE}#the-files-section",
)
SECRET_FILE_COPIED: Final = _rule(
    "secret-file-copied",
    Risk.MEDIUM,
    "A file of secrets is copied into the image or the machine's configuration",
    "Whoever can pull the image, or read the machine's configuration, has all that is in the file; "
    "deleting it in a later layer takes nothing back.",
    "Keep the file out, and set what is in it with fly secrets import.",
    _SECRETS,
)
SECRET_IN_DOCKERFILE: Final = _rule(
    "secret-in-dockerfile",
    Risk.HIGH,
    "A secret stands in a Dockerfile",
    "It is in the repository, and docker history shows it to everybody who can pull the image.",
    "Set it with fly secrets set; for the build, mount it with RUN --mount=type=secret.",
    _BUILD_SECRETS,
)
SECRET_IN_COMMENT: Final = _rule(
    "secret-in-comment",
    Risk.HIGH,
    "A secret stands in a comment",
    "It is in the repository and in its history, although nothing uses it from there.",
    "Take it out, and replace the value.",
    _SECRETS,
)
SECRET_BY_BUILD_ARG: Final = _rule(
    "secret-by-build-arg",
    Risk.MEDIUM,
    "A secret is given to the build as an argument",
    "The value of a build argument is kept in the history of the image.",
    "Mount it with RUN --mount=type=secret and give it with fly deploy --build-secret.",
    _BUILD_SECRETS,
)
HTTPS_NOT_FORCED: Final = _rule(
    "config-https-not-forced",
    Risk.MEDIUM,
    "HTTP is not redirected to HTTPS",
    "Whoever calls by http:// sends cookies and passwords that anybody on the way can read.",
    "Set force_https = true.",
    f"{_SERVICES}#http-to-https-redirects",
)
TLS_MISSING: Final = _rule(
    "config-tls-missing",
    Risk.HIGH,
    "Port 443 has the http handler without tls",
    "The proxy takes plain HTTP on the port where callers expect TLS: https:// fails, and what "
    "does get through is not encrypted.",
    'Set handlers = ["tls", "http"].',
    f"{_SERVICES}#connection-handlers",
)
PLAIN_HTTP: Final = _rule(
    "config-plain-http",
    Risk.MEDIUM,
    "A public port takes plain HTTP",
    "What goes over that port can be read and changed by anybody on the way.",
    'Add "tls" to its handlers, or take the port out.',
    f"{_SERVICES}#connection-handlers",
)
PRIVATE_SERVICE_PUBLIC: Final = _rule(
    "config-private-service-public",
    Risk.HIGH,
    "A service for private callers is on a public port",
    "Databases, caches and debuggers are called by one's own apps; on a public port they are found "
    "by scanners within hours, and one weak password or one hole opens them.",
    "Take the service out and call it as APP.internal, or give the app only a Flycast address.",
    _FLYCAST,
)
PUBLIC_ADDRESS: Final = _rule(
    "config-public-address-for-own-app",
    Risk.LOW,
    "An own app is called by its public address",
    "The call leaves the private network, and the called app has to stay open to everybody for it.",
    "Call it as APP.internal or APP.flycast.",
    f"{_DOCS}/networking/private-networking/",
)
OLD_TLS: Final = _rule(
    "config-old-tls",
    Risk.MEDIUM,
    "TLS versions are allowed that are broken",
    "TLS 1.0 and 1.1 have known holes and are forbidden by PCI DSS; Fly's proxy speaks 1.2 "
    "and 1.3.",
    'Set versions = ["TLSv1.2", "TLSv1.3"].',
    f"{_DOCS}/networking/tls/",
)
SELF_SIGNED: Final = _rule(
    "config-self-signed",
    Risk.MEDIUM,
    "A self-signed certificate is served where there is none",
    "Callers get used to clicking warnings away, and then can't tell an attacker's certificate.",
    "Set default_self_signed = false, and add the host with fly certs add.",
    f"{_REFERENCE}#http_service-tls_options",
)
RESTART_UNBOUNDED: Final = _rule(
    "config-restart-unbounded",
    Risk.LOW,
    "A machine that fails is restarted without end",
    "After a failed rotation or deploy such a machine starts again and again, looks alive, and "
    "hammers what it can't log in to.",
    'Set policy = "on-failure" with retries.',
    f"{_REFERENCE}#the-restart-section",
)
SSH_SERVICE: Final = _rule(
    "config-ssh-service",
    Risk.MEDIUM,
    "SSH is on a public port",
    "It is tried by scanners day and night; fly ssh console goes over WireGuard with short-lived "
    "certificates and needs no open port.",
    "Take the service out, and use fly ssh console.",
    f"{_DOCS}/blueprints/opensshd/",
)
DEBUG: Final = _rule(
    "config-debug",
    Risk.MEDIUM,
    "A debug mode is on",
    "Debug pages show source, settings and values; some of them run whatever they are sent.",
    "Turn it off, or keep it to a file for development.",
    f"{_REFERENCE}#the-env-variables-section",
)
TLS_UNVERIFIED: Final = _rule(
    "config-tls-unverified",
    Risk.HIGH,
    "Certificates of others are not checked",
    "Whoever can get between the app and what it calls reads everything, passwords included.",
    "Take the setting out; give an own authority's certificate instead.",
    f"{_REFERENCE}#the-env-variables-section",
)
IMAGE_BY_TAG: Final = _rule(
    "config-image-by-tag",
    Risk.LOW,
    "The image is named by a tag",
    "A tag can be moved: the next deploy may run something that nobody has looked at.",
    "Name it by its digest: image@sha256:...",
    f"{_REFERENCE}#specify-a-docker-image",
)
BASE_BY_TAG: Final = _rule(
    "dockerfile-base-by-tag",
    Risk.LOW,
    "A base image is named by a tag",
    "A tag can be moved: the same Dockerfile builds something else tomorrow.",
    "Name it by its digest as well, and let a bot renew it.",
    f"{_DOCS}/blueprints/using-base-images-for-faster-deployments/",
)
ROOT: Final = _rule(
    "dockerfile-runs-as-root",
    Risk.MEDIUM,
    "The app runs as root",
    "Whoever gets into the process may change every file of the machine and read what all of its "
    "processes hold.",
    "Add USER with a user other than root to the last stage.",
    f"{_DOCS}/blueprints/working-with-docker/",
)

RULES: Final[tuple[Rule, ...]] = (
    SECRET_IN_ENV,
    SECRET_IN_BUILD_ARGS,
    SECRET_IN_COMMAND,
    SECRET_IN_HEADER,
    SECRET_IN_FILE_VALUE,
    SECRET_FILE_COPIED,
    SECRET_IN_DOCKERFILE,
    SECRET_BY_BUILD_ARG,
    SECRET_IN_COMMENT,
    HTTPS_NOT_FORCED,
    TLS_MISSING,
    PLAIN_HTTP,
    PRIVATE_SERVICE_PUBLIC,
    PUBLIC_ADDRESS,
    OLD_TLS,
    SELF_SIGNED,
    RESTART_UNBOUNDED,
    SSH_SERVICE,
    DEBUG,
    TLS_UNVERIFIED,
    IMAGE_BY_TAG,
    BASE_BY_TAG,
    ROOT,
)
