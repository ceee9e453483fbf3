"""The manifests that `rotator init` writes."""

from pathlib import Path

_SAMPLE = """\
# rotator.toml: what rotator looks after. `rotator check` reads it, `rotator plan` shows what it
# would do, and nothing is touched before a credential is due or you ask for it.

organization = "ORGANIZATION"          # slug of your Fly organisation, see `fly orgs list`

# Everything in here holds for all credentials that don't say otherwise.
[defaults]
owner = "platform@example.com"           # shown in reports
# runbook = "https://runbooks.example.com/rotation"
# mode = "observe"                       # look only: tell ages, drift, and what would be done

[defaults.policy]
every = "30d"                            # or: cron = "0 3 1 * *", zone = "Europe/Berlin"
overlap = "24h"                          # how long the old value stays valid
jitter = "2h"                            # spreads rotations that are due together
max_age = "90d"                          # never older than this
missed = "catch-up"                      # or "next-window", "alert"
# on_gone = "report"                     # or replace what the issuer or a target has lost
# on_drift = "rotate"                    # or only tell that somebody else changed a secret
# window = { days = "mon-thu", start = "09:00", span = "8h", zone = "Europe/Berlin" }
# blackout = ["2026-12-20/2027-01-04"]   # days on which nothing starts by itself
# blackout_ics = "freeze.ics"            # the same from a calendar

# How the machines that read a value are restarted. Each credential, and each target, can say
# otherwise: rollout = { strategy = "blue-green" }
[defaults.rollout]
strategy = "rolling"                     # waves of each process group, groups side by side
# strategy = "canary"                    # the same, with at least one canary
# strategy = "blue-green"                # clones first, for groups that can't spare a machine
# strategy = "next-start"                # restart nothing, wait until every machine has started
# strategy = "next-release"              # let the team's own deploy carry it, until `deadline`
# strategy = "none"                      # restart nothing, watch who has been renewed
# strategy = "immediate"                 # all at once (take `canary` out then)
max_unavailable = "33%"                  # of each process group, or a number of machines
canary = 1                               # this many machines first, alone
canary_soak = "30s"                      # how long a canary has to stay healthy
stagger = "10s"                          # pause between waves
health_timeout = "5m"
on_failure = "undo"                      # or "pause": wait for `rotator rollout resume|abort`
# on_failure = "continue"                # within the budget, stated as a share or a number
# failure_budget = "5%"
# smoke = "20s"                          # how long one without health checks has to stay up
# soak = "30s"                           # how long each other wave has to stay healthy
# drain = "10s"                          # out of the proxy first, for requests that are under way
# start_timeout = "5m"
# probe = { port = 8080, path = "/healthz", status = 200, timeout = "5s" }  # besides the checks
# rehearsal = true                       # a disposable machine has to live with the value first
# rehearsal = { command = ["/app/bin/check"], timeout = "60s" }             # and run this well
# order = "spread"                       # one of each region in turn, instead of "region"
# first = ["fra"]                        # regions that go first, and last
# last = ["iad"]
# groups = ["web", "worker"]             # process groups that read the value; all by default
# allow_single = true                    # a group's only machine may be away while it restarts
# asleep = "next-start"                  # leave what sleeps, instead of "update" without a start
# max_wait = "7d"                        # tell of machines that are waited for longer than this
# deadline = "7d"                        # `next-release` restarts what is left after this
# coalesce = "15m"                       # rotations due within this share one rollout
# max_rollouts_per_day = 4
# release = false                        # make no release; `fly secrets list` says Staged then

# For the whole organisation: how many machines may be out of service because of rotator.
# [disruption]
# at_once = 10
# per_app = 3
# per_region = 5
# per_hour = 100

# What `rotator posture`, and the daemon once a day, hold what runs against. Findings are hidden
# for a while in rotator-posture.toml beside this file.
# [posture]
# token_max_life = "365d"                # a token that works for longer is told
# token_max_age = "90d"
# secret_max_age = "180d"
# peer_max_age = "180d"
# peer_unused = "30d"
# certificate_days = 14                  # a custom certificate with fewer days left is told
# deploy_tokens_an_app = 1               # one for each pipeline
# image_max_age = "90d"
# scan_reports = "reports/"              # SARIF, CycloneDX, Trivy or Grype JSON
# scan_max_age = "30d"
# scanner = "trivy"                      # or "grype": run it where no fresh report is there
# checkpoint_max_age = "1d"
# clock_tolerance = "5s"
# on_leaver = "rotate"                   # or only "tell" of credentials of people who left

# An app secret: made here, set on the app, its machines restarted a few at a time.
# [credentials.web-session-key]
# kind = "secret"
# bytes = 32
# encoding = "base64url"
# targets = [ { type = "fly-secret", app = "web", name = "SESSION_KEY" } ]

# A deploy token for CI, delivered to a file and to another app.
# [credentials.ci-web]
# kind = "deploy-token"
# app = "web"
# targets = [
#   { type = "file", path = "/data/ci/web.token" },
#   { type = "fly-secret", app = "ci-runner", name = "FLY_API_TOKEN" },
# ]

# The least that a job needs: only these apps, only reading, and only from machines of one app.
# [credentials.dashboard]
# kind = "org-token"                     # or readonly-token, ssh-token, machine-exec-token, ...
# narrow = { apps = ["web", "api"], actions = "r" }
# bind = { app = "grafana" }
# targets = [ { type = "fly-secret", app = "grafana", name = "FLY_API_TOKEN" } ]

# What `rotator taint dashboard` would take with it, beside what rotator finds out by itself.
# derived_from = ["ci-web"]

# A WireGuard peer; the target receives a wg-quick file.
# [credentials.office-gateway]
# kind = "wireguard-peer"
# region = "fra"
# targets = [ { type = "file", path = "/data/wg/fly.conf" } ]
"""

_SIMULATED = """\
# rotator.toml for the organisation that `rotator simulate` plays: everything is due at once.
organization = "acme"

[defaults]
owner = "platform@example.com"

[defaults.policy]
every = "30d"
overlap = "{overlap}"

[defaults.rollout]
max_unavailable = 1
stagger = "1s"
canary = 1
canary_soak = "3s"
smoke = "2s"

[credentials.web-session-key]
kind = "secret"
bytes = 32
targets = [ {{ type = "fly-secret", app = "web", name = "SESSION_KEY" }} ]

[credentials.ci-web]
kind = "deploy-token"
app = "web"
targets = [
  {{ type = "file", path = "{folder}/ci-web.token" }},
  {{ type = "fly-secret", app = "api", name = "WEB_DEPLOY_TOKEN" }},
]

[credentials.office-gateway]
kind = "wireguard-peer"
region = "fra"
targets = [ {{ type = "file", path = "{folder}/fly.conf" }} ]
"""


def simulated_manifest(folder: Path, *, overlap: str = "10s") -> str:
    """A manifest for the simulated organisation; files go to `folder`."""
    return _SIMULATED.format(folder=folder, overlap=overlap)


def sample_manifest(organization: str) -> str:
    """A commented manifest that manages nothing yet."""
    return _SAMPLE.replace("ORGANIZATION", organization)
