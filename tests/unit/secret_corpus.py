"""Settings and commands as they stand in apps' files, labelled by a person: secrets, and none.

Every value is made by dice of a fixed seed while the tests run: nothing in the repository looks
like a credential, and none of them ever was one.
"""

# ruff: noqa: E501 - a table reads best with a sample a line

from __future__ import annotations

import json
import string

from tests.unit.secret_corpus_later import later_harmless, later_secrets
from tests.unit.secret_dice import NOW, Dice, Sample, issued

__all__ = ["NOW", "Dice", "Sample", "harmless", "issued", "secrets"]


def secrets(seed: int = 11) -> list[Sample]:
    """What a person would take out of the file at once."""
    d = Dice(seed)
    samples = [Sample("SETTING", value) for value in issued(d)]
    samples += [
        Sample("", f"deploy --with {value.split()[-1]} --now") for value in issued(Dice(12))[3:50:3]
    ]
    samples += [Sample("NEXT_PUBLIC_SETTING", issued(Dice(13))[at]) for at in (4, 13, 17, 18, 50)]
    return samples + _named(d) + _addresses(d) + _random(d) + _scripts(d) + later_secrets(d)


def _named(d: Dice) -> list[Sample]:
    return [
        Sample("DB_PASSWORD", d.password()),
        Sample("DATABASE_PASSWORD", "hunter" + "22"),
        Sample("POSTGRES_PASSWORD", "Sommer" + "2024"),
        Sample("MYSQL_ROOT_PASSWORD", "tiger" + "-lion-7"),
        Sample("PGPASSWORD", d.alnum(12)),
        Sample("REDIS_PASSWORD", d.alnum(32)),
        Sample("ADMIN_PASS", d.password(10)),
        Sample("smtp_pass", d.password(12)),
        Sample("SMTP_PASSWORD", d.of(string.ascii_lowercase, 16)),
        Sample("mail.password", d.password()),
        Sample("dbPassword", d.password()),
        Sample("PASSWD", "qwerty" + "123"),
        Sample("PIN_PASSWORD", "1984" + "0712"),
        Sample("APP_PASSPHRASE", "correct horse battery " + "staple"),
        Sample("KEYSTORE_PASSWORD", "change" + "it1"),
        Sample("SECRET_KEY_BASE", d.hex(128)),
        Sample("SECRET_KEY", d.word(50)),
        Sample("DJANGO_SECRET_KEY", "django-" + "insec-" + d.password(40)),
        Sample("SESSION_SECRET", "keyboard" + " cat"),
        Sample("JWT_SECRET", "verysecret" + "jwt"),
        Sample("JWT_SECRET", d.base64(32)),
        Sample("COOKIE_SECRET", d.alnum(32)),
        Sample("NEXTAUTH_SECRET", d.base64(32)),
        Sample("AUTH_SECRET", d.base64(33)),
        Sample("APP_KEY", "base64:" + d.base64(32)),
        Sample("RAILS_MASTER_KEY", d.hex(32)),
        Sample("ENCRYPTION_KEY", d.hex(64)),
        Sample("ENCRYPTION_KEY", d.base64(32)),
        Sample("SIGNING_KEY", d.base64(24)),
        Sample("API_KEY", d.alnum(32)),
        Sample("API_KEY", d.uuid()),
        Sample("apiKey", d.hex(40)),
        Sample("X_API_KEY", d.alnum(20)),
        Sample("X-Api-Key", d.alnum(20)),
        Sample("ALGOLIA_ADMIN_KEY", d.hex(32)),
        Sample("MAPBOX_SECRET_TOKEN", d.word(60)),
        Sample("POSTMARK_SERVER_TOKEN", d.uuid()),
        Sample("TWILIO_AUTH_TOKEN", d.hex(32)),
        Sample("CLOUDFLARE_API_TOKEN", d.word(40)),
        Sample("AWS_SECRET_ACCESS_KEY", d.base64(30)),
        Sample("AWS_SECRET_ACCESS_KEY", "/" + d.base64(30)[:39]),
        Sample("AWS_SESSION_TOKEN", d.base64(120)),
        Sample("S3_SECRET_KEY", d.base64(30).replace("+", "/")),
        Sample("MINIO_SECRET_KEY", d.alnum(24)),
        Sample("STORAGE_ACCESS_KEY", d.base64(64)),
        Sample("AZURE_STORAGE_KEY", d.base64(64)),
        Sample("DD_API_KEY", d.hex(32)),
        Sample("HONEYBADGER_API_KEY", "hb" + "p_" + d.alnum(36)),
        Sample("CONTENTFUL_ACCESS_TOKEN", d.word(43)),
        Sample("SPOTIFY_CLIENT_SECRET", d.hex(32)),
        Sample("GITHUB_CLIENT_SECRET", d.hex(40)),
        Sample("OAUTH_CLIENT_SECRET", d.word(36)),
        Sample("WEBHOOK_SECRET", d.hex(40)),
        Sample("GRAFANA_ADMIN_PASSWORD", "admin" + "42"),
        Sample("MQTT_PASSWORD", "Lamp" + "42"),
        Sample("BASIC_AUTH", "admin:" + d.password(9)),
        Sample("Authorization", "Bearer " + d.alnum(32)),
        Sample("Authorization", "Basic " + d.base64(18)),
        Sample("authorization", "Token " + d.hex(40)),
        Sample("RELEASE_COOKIE", d.alnum(56)),
        Sample("ERLANG_COOKIE", d.alnum(20).upper()),
        Sample("ACCESS_TOKEN", d.alnum(40)),
        Sample("REFRESH_TOKEN", d.word(64)),
        Sample("BOT_TOKEN", d.alnum(46)),
        Sample("DEPLOY_TOKEN", d.hex(40)),
        Sample("TOKEN", d.hex(32)),
        Sample("SECRET", d.hex(24)),
        Sample("WG_PRIVATE_KEY", d.base64(32)),
        Sample("WIREGUARD_PRIVATE_KEY", d.base64(32)),
        Sample("ETH_PRIVATE_KEY", "0x" + d.hex(64)),
        Sample("TS_AUTHKEY", "ts" + "-" + d.alnum(24)),
        Sample("LICENSE_KEY", "-".join(d.alnum(5).upper() for _ in range(5))),
        Sample("TF_VAR_db_password", d.password()),
        Sample("ELASTIC_PASSWORD", d.alnum(20)),
        Sample("RABBITMQ_DEFAULT_PASS", d.password()),
        Sample("MONGO_INITDB_ROOT_PASSWORD", "mongo" + "ose9"),
        Sample("LDAP_BIND_PASSWORD", d.password()),
        Sample("SNOWFLAKE_PASSWORD", d.password(18)),
        Sample("MASTER_KEY", d.alnum(16)),
        Sample("HASH_SALT", d.alnum(22)),
    ]  # fmt: skip


def _addresses(d: Dice) -> list[Sample]:
    key_id = "AK" + "IA" + d.of("ABCDEFGHIJKLMNOP234567", 16)
    service_account = json.dumps(
        {"type": "service_account", "private_key": d.pem("PRIVATE" + " KEY")}
    )
    return [
        Sample("DATABASE_URL", f"postgres://web:{d.alnum(15)}@web-db.internal:5432/web"),
        Sample("DATABASE_URL", f"postgresql://postgres:{d.password(12).replace('#', 'x')}@top2.nearest.of.db.internal/web?sslmode=disable"),
        Sample("DATABASE_URL", f"mysql2://root:{d.alnum(9)}@mysql.flycast/app"),
        Sample("DATABASE_URL", "ecto://post" + "gres:post" + "gres@db.internal/app_prod"),
        Sample("REDIS_URL", f"redis://default:{d.hex(32)}@fly-web-redis.upstash.io:6379"),
        Sample("REDIS_URL", f"rediss://:{d.alnum(20)}@cache.internal:6380/0"),
        Sample("MONGODB_URI", f"mongodb+srv://app:{d.alnum(16)}@cluster0.ab1cd.mongodb.net/?retryWrites=true"),
        Sample("AMQP_URL", f"amqps://user:{d.alnum(32)}@crow.rmq.cloudamqp.com/vhost"),
        Sample("CLOUDINARY_URL", f"cloudinary://{d.of(string.digits, 15)}:{d.word(27)}@demo-cloud"),
        Sample("HTTP_PROXY", f"http://proxyuser:{d.alnum(10)}@proxy.corp.net:3128"),
        Sample("GIT_REMOTE", f"https://oauth2:{d.alnum(20)}@gitlab.com/acme/web.git"),
        Sample("GIT_REMOTE", f"https://{d.hex(40)}@github.com/acme/web.git"),
        Sample("ELASTIC_URL", f"https://elastic:{d.alnum(24)}@es.acme.net:9243"),
        Sample("SMTP_URL", f"smtp://apikey:{d.alnum(30)}@smtp.acme.net:587"),
        Sample("LIBSQL_URL", f"libsql://acme.turso.io?authToken={d.word(60)}"),
        Sample("WEBHOOK_URL", f"https://api.acme.net/hook?token={d.hex(32)}"),
        Sample("CALLBACK", f"https://api.acme.net/v1?api_key={d.alnum(32)}&x=1"),
        Sample("SQL_CONNECTION", f"Server=db.internal;Database=web;User Id=sa;Password={d.alnum(12)};Encrypt=true"),
        Sample("AZURE_STORAGE_CONNECTION_STRING", f"DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={d.base64(64)};EndpointSuffix=core.windows.net"),
        Sample("GOOGLE_APPLICATION_CREDENTIALS_JSON", service_account),
        Sample("FIREBASE_CONFIG", json.dumps({"projectId": "acme", "client_secret": d.alnum(24)})),
        Sample("AWS_KEY", key_id),
        Sample("KAFKA_SASL_JAAS_CONFIG", f'org.apache.kafka.PlainLoginModule required username="app" password="{d.alnum(20)}";'),
    ]  # fmt: skip


def _random(d: Dice) -> list[Sample]:
    """Keys whose names say little."""
    return [
        Sample("PEPPER", d.base64(24)),
        Sample("SALT", d.hex(32)),
        Sample("KEY", d.base64(32)),
        Sample("FERNET_KEY", d.base64(32)),
        Sample("VAULT_UNSEAL", d.base64(33)),
        Sample("MAILGUN", d.alnum(40)),
        Sample("INTERNAL_AUTH", d.alnum(32)),
        Sample("HANDSHAKE", d.word(43)),
        Sample("PREVIEW_SEED", d.hex(64)),
        Sample("CONSUL_GOSSIP", d.base64(32)),
        Sample("SYNC_SIGNATURE", d.base64(24)),
        Sample("LIVE_VIEW_SIGNING_SALT", d.alnum(32)),
    ]


def _scripts(d: Dice) -> list[Sample]:
    return [
        Sample("", f"PGPASSWORD={d.alnum(12)} psql -h db.internal -c 'select 1'"),
        Sample("", f"sh -c 'export API_TOKEN={d.alnum(24)} && exec ./server'"),
        Sample("", f"redis-server --requirepass {d.alnum(16)} --appendonly yes"),
        Sample("", f"./server --port 8080 --api-key={d.alnum(32)}"),
        Sample("", f"./server --port 8080 --auth-token {d.hex(32)} --verbose"),
        Sample("", f"curl -fsS -H 'Authorization: Bearer {d.alnum(40)}' https://api.acme.net"),
        Sample("", f'curl -H "X-Api-Key: {d.alnum(24)}" https://api.acme.net'),
        Sample("", f"curl -u deploy:{d.alnum(14)} https://nexus.acme.net/x.tgz"),
        Sample("", f"npm config set //registry.npmjs.org/:_authToken={d.uuid()}"),
        Sample("", f"pip install --extra-index-url https://ci:{d.alnum(20)}@pypi.acme.net/simple acme"),
        Sample("", f"git clone https://x-access-token:{d.alnum(24)}@github.com/acme/private.git"),
        Sample("", f"bundle config set gems.acme.net ci:x && BUNDLE_GEMS__TOKEN={d.alnum(24)} bundle install"),
        Sample("", f"mysql --user=root --password={d.password(11)} -e 'create database x'"),
        Sample("", f"litestream replicate -secret-access-key {d.base64(30)}"),
        Sample("", f"DATABASE_URL=postgres://a:{d.alnum(16)}@db.internal/x bin/migrate"),
        Sample("", f'echo "machine api.acme.net password={d.alnum(18)}" >> ~/.netrc'),
        Sample("", f"SECRET_KEY={d.word(50)} python manage.py migrate"),
        Sample("", f"step ca token --provisioner-password {d.alnum(18)}"),
    ]  # fmt: skip


def harmless(seed: int = 21) -> list[Sample]:
    """What a person would leave where it is."""
    d = Dice(seed)
    plain = [*_placeholders(), *_plain()]
    return [*plain, *_near_names(d), *_open_values(d), *_commands(d), *later_harmless(d)]


def _placeholders() -> list[Sample]:
    values = [
        "changeme", "change-me", "CHANGE_ME_PLEASE", "replace-with-your-key", "your-api-key-here",
        "<your token>", "<API_KEY>", "${API_KEY}", "$API_KEY", "${API_KEY:-}", "{{ api_key }}",
        "xxxxxxxxxxxxxxxx", "XXXX-XXXX-XXXX", "****************", "...", "placeholder", "dummy",
        "dummy-value-for-build", "example", "example-key", "sk_test_example_placeholder", "TODO",
        "todo", "insert-token-here", "none", "null", "unset", "test", "secret", "password", "",
        "set-in-dashboard-set-via-secrets", "not-a-real-secret", "fake-key-1234567890", "redacted",
        "000000000000000000000000", "1234567890", "abcdefghijklmnop", "build-only", "false", "true",
        "$(cat /run/secrets/api_key)", "`cat /run/secrets/api`", "API_KEY", "api-key", "sample-token-abc",
    ]  # fmt: skip
    names = ("API_KEY", "DB_PASSWORD")
    shown = ["AKIA" + "IOSFODNN7EXAMPLE", "sk" + "_test_" + "x" * 24, "gh" + "p_" + "x" * 36]
    return [Sample(name, value) for name in names for value in values] + [
        Sample("EXAMPLE_KEY", value) for value in shown
    ]


def _near_names(d: Dice) -> list[Sample]:
    """Names with a word of secrets in them, for something else."""
    return [
        Sample("TOKEN_TTL", "3600"), Sample("ACCESS_TOKEN_TTL_SECONDS", "900"),
        Sample("JWT_EXPIRES_IN", "7d"), Sample("JWT_ISSUER", "https://auth.acme.net"),
        Sample("JWT_AUDIENCE", "acme-web"), Sample("JWT_ALGORITHM", "HS256"),
        Sample("PASSWORD_MIN_LENGTH", "12"), Sample("PASSWORD_HASH_ROUNDS", "12"),
        Sample("PASSWORD_HASHER", "argon2"), Sample("PASSWORD_RESET_URL", "https://acme.net/reset"),
        Sample("PASSWORD_RESET_TIMEOUT", "86400"), Sample("PASSWORD_FILE", "/run/secrets/db"),
        Sample("POSTGRES_PASSWORD_FILE", "/run/secrets/pg"), Sample("SECRET_NAME", "prod/web/db"),
        Sample("SECRETS_PATH", "/etc/secrets"), Sample("SECRETS_BACKEND", "vault"),
        Sample("SECRET_PROVIDER", "aws-secretsmanager"), Sample("API_KEY_HEADER", "X-Api-Key"),
        Sample("API_KEY_NAME", "primary"), Sample("API_KEY_ID", d.alnum(20)),
        Sample("AWS_ACCESS_KEY_ID", "AK" + "IA" + d.of("ABCDEFGHIJ234567", 16)),
        Sample("TIGRIS_ACCESS_KEY_ID", "tid_" + d.alnum(26)), Sample("KEY_ID", d.hex(16)),
        Sample("KMS_KEY_ID", "arn:aws:kms:eu-central-1:111122223333:key/" + d.uuid()),
        Sample("TWILIO_API_KEY_SID", "SK" + d.hex(32)), Sample("TWILIO_ACCOUNT_SID", "AC" + d.hex(32)),
        Sample("OAUTH_CLIENT_ID", d.hex(20)), Sample("GITHUB_CLIENT_ID", "Iv1." + d.hex(16)),
        Sample("GOOGLE_CLIENT_ID", d.of(string.digits, 12) + "-" + d.alnum(32).lower() + ".apps.googleusercontent.com"),
        Sample("AUTH0_CLIENT_ID", d.alnum(32)), Sample("AUTH0_DOMAIN", "acme.eu.auth0.com"),
        Sample("STRIPE_PUBLISHABLE_KEY", "pk_live_" + d.alnum(24)),
        Sample("STRIPE_PUBLIC_KEY", "pk_test_" + d.alnum(24)),
        Sample("STRIPE_PRICE_PRO", "price_1" + d.alnum(23)), Sample("STRIPE_PRODUCT", "prod_" + d.alnum(14)),
        Sample("NEXT_PUBLIC_API_KEY", d.hex(32)), Sample("NEXT_PUBLIC_SUPABASE_ANON_KEY", d.jwt(role="anon")),
        Sample("SUPABASE_ANON_KEY", d.jwt(role="anon")), Sample("VITE_MAPBOX_TOKEN", "pk." + d.word(60)),
        Sample("NEXT_PUBLIC_FIREBASE_API_KEY", "AI" + "za" + d.word(35)),
        Sample("EXPO_PUBLIC_KEY", d.alnum(32)), Sample("REACT_APP_RECAPTCHA_KEY", "6L" + d.word(38)),
        Sample("RECAPTCHA_SITE_KEY_PUBLIC", "6L" + d.word(38)), Sample("VAPID_PUBLIC_KEY", d.word(87)),
        Sample("SSH_PUBLIC_KEY", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + d.base64(32) + " me@host"),
        Sample("SIGNER_PUBKEY", d.base64(32)), Sample("TLS_CERT_FINGERPRINT", d.hex(64)),
        Sample("AGE_RECIPIENT", "age1" + d.of("023456789acdefghjklmnpqrstuvwxyz", 58)),
        Sample("CSRF_COOKIE_NAME", "csrftoken"), Sample("SESSION_COOKIE_NAME", "_acme_session"),
        Sample("SESSION_COOKIE_SECURE", "true"), Sample("COOKIE_DOMAIN", ".acme.net"),
        Sample("AUTH_PROVIDER", "google"), Sample("AUTH_URL", "https://acme.net/api/auth"),
        Sample("AUTHORIZATION_URL", "https://acme.net/oauth/authorize"), Sample("AUTH_ENABLED", "true"),
        Sample("MAX_TOKENS", "4096"), Sample("OPENAI_MAX_TOKENS", "8192"), Sample("TOKENS_PER_MINUTE", "90000"),
        Sample("TOKENIZER", "cl100k_base"), Sample("TOKENIZERS_PARALLELISM", "false"),
        Sample("TOKEN_ENDPOINT", "https://acme.net/oauth/token"), Sample("TOKEN_TYPE", "bearer"),
        Sample("REQUIRED_SECRETS", "DATABASE_URL,SECRET_KEY_BASE"), Sample("KEYCLOAK_REALM", "acme"),
        Sample("KEYCLOAK_URL", "https://sso.acme.net/realms/acme"), Sample("KEYSPACE", "events_by_day"),
        Sample("CACHE_KEY_PREFIX", "acme:v3:"), Sample("PARTITION_KEY", "tenant_id"),
        Sample("PRIMARY_KEY_TYPE", "uuid"), Sample("S3_KEY_PREFIX", "uploads/2024"),
        Sample("SSH_KEY_PATH", "/app/.ssh/id_ed25519"), Sample("PRIVATE_KEY_PATH", "/etc/tls/key.pem"),
        Sample("GOOGLE_APPLICATION_CREDENTIALS", "/app/gcp.json"), Sample("CREDENTIALS_FILE", "creds.json"),
        Sample("CORS_ALLOW_CREDENTIALS", "true"), Sample("FETCH_CREDENTIALS_MODE", "same-origin"),
        Sample("ROTATOR_TOKEN_MODE", "narrow"), Sample("PASSKEY_RP_NAME", "Acme"), Sample("PASSPORT_STRATEGY", "jwt"),
        Sample("COMPASS_MODE", "dark"), Sample("BYPASS_CACHE", "1"), Sample("PASSENGER_APP_ENV", "production"),
        Sample("MONKEY_PATCH", "1"), Sample("KEYBOARD_LAYOUT", "de-nodeadkeys"), Sample("HOTKEYS", "ctrl+k"),
        Sample("KEEP_ALIVE", "65"), Sample("SECRETARY_EMAIL", "office@acme.net"), Sample("SALT_ROUNDS", "10"),
        Sample("PWD", "/app"), Sample("AUTHOR", "Jane Doe"), Sample("ENCRYPTION_ALGORITHM", "aes-256-gcm"),
        Sample("SIGNATURE_VERSION", "s3v4"), Sample("SEED_DATA", "true"), Sample("HASH_ALGO", "sha256"),
    ]  # fmt: skip


def _open_values(d: Dice) -> list[Sample]:
    """Values that look random or private, and are open."""
    return [
        Sample("GPG_KEY", d.hex(40).upper()), Sample("GPG_KEYS", f"{d.hex(40).upper()} {d.hex(40).upper()}"),
        Sample("HF_REPO", "0x00dead/" + "model-cetacean-effb4"), Sample("PASSWORD", "{YOUR_PASSWORD}"),
        Sample("PASSWORD", "{password}"), Sample("ALLOW_EMPTY_PASSWORD", "maybe-later"),
        Sample("SCOPES", "write_products,read_metaobjects,write_metaobjects"), Sample("HOST", "d2imehpdli8mvq.cloudfront.net"),
        Sample("GIT_SHA", d.hex(40)), Sample("SOURCE_COMMIT", d.hex(40)), Sample("GIT_REVISION", d.hex(7)),
        Sample("IMAGE_DIGEST", "sha256:" + d.hex(64)), Sample("BUILD_HASH", d.hex(64)),
        Sample("CHECKSUM", d.hex(64)), Sample("JQ_SHA256", d.hex(64)), Sample("NODE_SHA", d.hex(64)),
        Sample("INTEGRITY", "sha384-" + d.base64(48)), Sample("ASSET_VERSION", d.hex(32)),
        Sample("FLY_IMAGE", "registry.fly.io/web:deployment-01" + d.alnum(24).upper()),
        Sample("BASE_IMAGE", "ghcr.io/acme/base:1.2@sha256:" + d.hex(64)),
        Sample("TENANT_ID", d.uuid()), Sample("PROJECT_ID", d.uuid()), Sample("ORG", d.uuid()),
        Sample("DEFAULT_WORKSPACE", d.uuid()), Sample("ULID_START", "01" + d.of("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24)),
        Sample("SENTRY_DSN", f"https://{d.hex(32)}@o{d.of(string.digits, 6)}.ingest.sentry.io/{d.of(string.digits, 7)}"),
        Sample("SENTRY_DSN", f"https://{d.hex(32)}@sentry.acme.net/4"),
        Sample("GA_MEASUREMENT_ID", "G-" + d.alnum(10).upper()), Sample("GTM_ID", "GTM-" + d.alnum(7).upper()),
        Sample("POSTHOG_KEY_PUBLIC", "phc_" + d.alnum(43)), Sample("ALGOLIA_APP_ID", d.alnum(10).upper()),
        Sample("FIREBASE_APP_ID", "1:" + d.of(string.digits, 12) + ":web:" + d.hex(22)),
        Sample("DATABASE_URL", "postgres://postgres:postgres@localhost:5432/dev"),
        Sample("DATABASE_URL", "postgres://app:${DB_PASSWORD}@db.internal/app"),
        Sample("DATABASE_URL", "postgres://db.internal:5432/app"), Sample("DATABASE_URL", "sqlite:////data/app.db"),
        Sample("DATABASE_URL", "file:/data/prod.db?connection_limit=1"), Sample("DATABASE_URL", "ecto://user:password@host/db"),
        Sample("REDIS_URL", "redis://cache.internal:6379/0"), Sample("REDIS_URL", "redis://127.0.0.1:6379"),
        Sample("MONGO_URL", "mongodb://user:changeme@mongo.internal/app"), Sample("HTTP_PROXY", "http://proxy.corp.net:3128"),
        Sample("API_URL", "https://api.acme.net/v1?format=json&page=1"), Sample("CDN", "https://d111111abcdef8.cloudfront.net"),
        Sample("S3_ENDPOINT", "https://fly.storage.tigris.dev"), Sample("WEBHOOK_URL", "https://acme.net/hooks/github"),
        Sample("LOGO", "https://acme.net/img/" + d.hex(32) + ".png"), Sample("FEED", "https://acme.net/feed?id=" + d.uuid()),
        Sample("CERT", d.pem("CERTIFICATE")), Sample("JWKS_KEY", d.pem("PUBLIC KEY")),
        Sample("ETH_CONTRACT_ID", "0x" + d.hex(40)), Sample("COLOR", "ff8800"), Sample("MAC", "02:42:ac:11:00:02"),
        Sample("IPV6", "fdaa:0:33b5:a7b:1f60:" + d.hex(4) + ":1d9:2"), Sample("BIND", "[::]:8080"),
        Sample("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/web"), Sample("SQS", "https://sqs.eu-west-1.amazonaws.com/111122223333/jobs"),
        Sample("BUCKET", "acme-production-uploads-eu-central-1"), Sample("TOPIC", "projects/acme-123456/topics/events-v2"),
        Sample("RELEASE_ID", "v2024.11.03-" + d.hex(7)), Sample("DEPLOYED_AT", "2024-11-03T12:34:56Z"),
        Sample("MODEL", "claude-3-5-sonnet-20241022"), Sample("MODEL", "gpt-4o-2024-08-06"), Sample("EMBEDDING", "text-embedding-3-small"),
        Sample("HF_MODEL", "sentence-transformers/all-MiniLM-L6-v2"), Sample("NIX_STORE", "/nix/store/" + d.of("0123456789abcdfghijklmnpqrsvwxyz", 32) + "-hello-2.12"),
    ]  # fmt: skip


def _plain() -> list[Sample]:
    """What most environments are made of."""
    pairs = """
    PORT=8080|HOST=0.0.0.0|NODE_ENV=production|RAILS_ENV=production|MIX_ENV=prod|PHX_HOST=web.fly.dev|PHX_SERVER=true
    LOG_LEVEL=info|LOG_FORMAT=json|RAILS_LOG_TO_STDOUT=enabled|RAILS_SERVE_STATIC_FILES=true|BUNDLE_WITHOUT=development:test
    WEB_CONCURRENCY=2|RAILS_MAX_THREADS=5|MALLOC_ARENA_MAX=2|LD_PRELOAD=libjemalloc.so.2|RUBY_YJIT_ENABLE=1
    PRIMARY_REGION=fra|REGIONS=fra,iad,sin,syd|FLY_REGIONS=ams cdg lhr|TZ=Europe/Berlin|LANG=en_US.UTF-8
    ECTO_IPV6=true|ERL_AFLAGS=-proto_dist inet6_tcp|DNS_CLUSTER_QUERY=web.internal|RELEASE_DISTRIBUTION=name
    RELEASE_NODE=web@fdaa:0:1::3|POOL_SIZE=10|DJANGO_SETTINGS_MODULE=config.settings.production|ALLOWED_HOSTS=web.fly.dev,acme.net
    PYTHONUNBUFFERED=1|PYTHONDONTWRITEBYTECODE=1|GUNICORN_CMD_ARGS=--bind=[::]:8000 --workers=2|UVICORN_PORT=8000
    GOMEMLIMIT=200MiB|GOGC=50|CGO_ENABLED=0|GOPROXY=https://proxy.golang.org,direct|RUST_LOG=info,tower_http=debug|RUST_BACKTRACE=1
    JAVA_OPTS=-Xmx256m -XX:+UseSerialGC|SPRING_PROFILES_ACTIVE=prod|ASPNETCORE_URLS=http://+:8080|DOTNET_gcServer=0
    PGDATA=/data/postgres|POSTGRES_USER=web|POSTGRES_DB=web_production|PGSSLMODE=disable|REDIS_MAXMEMORY=200mb
    S3_BUCKET=acme-uploads|AWS_REGION=auto|AWS_ENDPOINT_URL_S3=https://fly.storage.tigris.dev|STORAGE_DRIVER=s3
    SMTP_HOST=smtp.postmarkapp.com|SMTP_PORT=587|SMTP_USERNAME=apikey|MAIL_FROM=hello@acme.net|MAILER=smtp
    FEATURE_NEW_CHECKOUT=true|FEATURE_FLAGS=search,uploads,beta-dashboard|ENABLE_SIGNUP=0|MAINTENANCE_MODE=off|CACHE_TTL=300
    SITE_URL=https://acme.net|APP_NAME=Acme Web|APP_URL=https://acme.net|CORS_ORIGINS=https://acme.net,https://www.acme.net
    LITESTREAM_REPLICA=/data/db|DATA_DIR=/data|UPLOAD_LIMIT=25MB|TIMEOUT=30s|RETRIES=5|SWAP=512|QUEUES=default,mailers,low
    OTEL_SERVICE_NAME=web|OTEL_EXPORTER_OTLP_ENDPOINT=http://otel.internal:4318|OTEL_RESOURCE_ATTRIBUTES=service.name=web,deployment.environment=prod
    N8N_HOST=n8n.acme.net|GF_SERVER_ROOT_URL=https://grafana.acme.net|DISCORD_PREFIX=!|GHOST_URL=https://blog.acme.net
    NIXPKGS_ALLOW_UNFREE=1|COMPOSER_ALLOW_SUPERUSER=1|APP_TIMEZONE=UTC|QUEUE_CONNECTION=redis|SESSION_DRIVER=cookie|BROADCAST_DRIVER=log
    USER_AGENT=acme-web/2.3 (+https://acme.net/bot)|DESCRIPTION=The best web shop in the world|GREETING=Hello world, how are you today?
    CRON=0 3 * * *|MATCH=^[a-z0-9-]{3,30}$|JSON={"a":1,"b":[2,3]}|CSP=default-src 'self'; img-src *|PATH=/app/bin:/usr/local/bin:/usr/bin:/bin
    ACCEPT=application/json|CONTENT_TYPE=text/html; charset=utf-8|BUILDPACK=paketobuildpacks/builder-jammy-base|DEBIAN_FRONTEND=noninteractive
    """
    rows = (pair.strip() for line in pairs.splitlines() for pair in line.split("|"))
    return [Sample(*row.split("=", 1)) for row in rows if row]


def _commands(d: Dice) -> list[Sample]:
    texts = [
        "bundle exec rails server -b [::] -p 8080", "bundle exec sidekiq -C config/sidekiq.yml",
        "/app/bin/migrate", "/app/bin/server", "bin/rails db:prepare", "npx prisma migrate deploy",
        "python manage.py migrate --noinput", "gunicorn config.wsgi:application --bind 0.0.0.0:8000",
        "node --max-old-space-size=256 dist/server.js", "npm run start --workspace=web", "litefs mount",
        "redis-server --appendonly yes --maxmemory 200mb", "SECRET_KEY_BASE_DUMMY=1 ./bin/rails assets:precompile",
        "SECRET_KEY=dummy python manage.py collectstatic --noinput", "redis-server --requirepass $REDIS_PASSWORD",
        'sh -c "exec ./server --token=$API_TOKEN"', "sh -c 'PGPASSWORD=${DB_PASSWORD} psql -h db.internal'",
        "curl -H \"Authorization: Bearer $TOKEN\" https://api.acme.net", "curl -fsSL https://deb.nodesource.com/setup_20.x | bash -",
        "apt-get update && apt-get install -y --no-install-recommends ca-certificates curl git openssl libpq5",
        "apk add --no-cache tini su-exec && adduser -D -u 10001 app", "pip install --no-cache-dir -r requirements.txt",
        f"echo '{d.hex(64)}  /tmp/jq' | sha256sum -c -", f"git checkout {d.hex(40)}", f"npm ci --cache /tmp/{d.hex(12)}",
        "go build -trimpath -ldflags='-s -w -X main.version=1.2.3' -o /app/server ./cmd/server",
        "cargo build --release --locked && strip target/release/web", "mix deps.get --only prod && mix release",
        "--mount=type=secret,id=NPM_TOKEN npm ci", "NPM_TOKEN=$(cat /run/secrets/NPM_TOKEN) npm ci",
        "cat /run/secrets/fly_api_token > /dev/null", "openssl rand -hex 32 > /data/key", "ssh-keygen -A",
        "./server --password-file /run/secrets/db --token-ttl 3600", "./server --auth-mode token --auth-provider google",
        "supercronic /app/crontab", "caddy run --config /etc/caddy/Caddyfile", "nginx -g 'daemon off;'",
        "docker login -u ci --password-stdin registry.acme.net", "useradd --system --uid 10001 --shell /usr/sbin/nologin app",
        "elixir --name web@$FLY_PRIVATE_IP --cookie $RELEASE_COOKIE -S mix run", "java -jar app.jar --spring.profiles.active=prod",
        "minio server /data --console-address :9001", "vault server -config=/vault/config -log-level=info",
        "keycloak start --hostname-strict=false --proxy=edge", "wget -qO- http://127.0.0.1:8080/health?token_check=1",
        "adduser --disabled-password --gecos '' appuser",
        "adduser --system --no-create-home --disabled-password appuser",
        f"gpg --batch --keyserver hkps://keys.openpgp.org --recv-keys {d.hex(40).upper()}",
        f"echo '{d.hex(128)} *tini' | sha512sum --check",
        "echo 'deb [signed-by=/usr/share/keyrings/nodesource.gpg] https://deb.nodesource.com/node_20.x nodistro main'",
        "DATABASE_URL=postgresql://user:pass@host:5432/db npx prisma generate",
        "DATABASE_URL=postgres://postgres:postgres@db:5432/app_test mix test",
    ]  # fmt: skip
    return [Sample("", text) for text in texts]
