"""How the secrets of well-known issuers look: their published prefixes, lengths and alphabets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from rotator.domain.risk import Risk


@dataclass(frozen=True)
class SecretForm:
    """One form. `code` is in subjects and stays the same; `words` are for people."""

    code: str
    words: str
    pattern: re.Pattern[str]
    risk: Risk = Risk.CRITICAL
    meant_for_browsers: bool = False
    """Whether the issuer means some of them to be seen by everybody."""


def _form(
    code: str, words: str, pattern: str, risk: Risk = Risk.CRITICAL, *, public: bool = False
) -> SecretForm:
    return SecretForm(code, words, re.compile(rf"(?<![A-Za-z0-9_-]){pattern}"), risk, public)


_WORD: Final = r"[A-Za-z0-9_-]"

FORMS: Final[tuple[SecretForm, ...]] = (
    SecretForm(
        "private-key",
        "a private key",
        re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"),
    ),
    _form("fly-token", "a Fly.io token", r"(?:fm2|fm1r|fm1a)_[A-Za-z0-9+/=_-]{20,}"),
    _form("fly-token", "a Fly.io token", r"fo1_[A-Za-z0-9_-]{20,}"),
    _form("aws-access-key", "an AWS access key", r"(?:AKIA|ASIA)[A-Z2-7]{16}\b", Risk.HIGH),
    _form("github-token", "a GitHub token", r"gh[pousr]_[A-Za-z0-9]{36,}"),
    _form("github-token", "a GitHub token", r"github_pat_[A-Za-z0-9_]{40,}"),
    _form("gitlab-token", "a GitLab token", rf"gl(?:pat|dt|rt|cbt|ptt|soat|ft|imt)-{_WORD}{{20,}}"),
    _form("slack-token", "a Slack token", r"xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    _form("slack-token", "a Slack token", r"xapp-\d-[A-Za-z0-9-]{20,}"),
    _form(
        "slack-webhook",
        "a Slack webhook's address",
        r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,}",
        Risk.HIGH,
    ),
    _form(
        "discord-webhook",
        "a Discord webhook's address",
        rf"https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/\d{{15,}}/{_WORD}{{40,}}",
        Risk.HIGH,
    ),
    _form(
        "discord-token",
        "a Discord bot's token",
        rf"[MNO]{_WORD}{{23,25}}\.{_WORD}{{6}}\.{_WORD}{{27,}}",
    ),
    _form("telegram-token", "a Telegram bot's token", rf"\d{{8,10}}:AA{_WORD}{{33}}"),
    _form("stripe-key", "a Stripe secret key", r"(?:sk|rk)_live_[A-Za-z0-9]{16,}"),
    _form("stripe-key", "a Stripe test key", r"(?:sk|rk)_test_[A-Za-z0-9]{16,}", Risk.HIGH),
    _form("webhook-secret", "a webhook's signing secret", r"whsec_[A-Za-z0-9+/=]{24,}"),
    _form("anthropic-key", "an Anthropic API key", rf"sk-ant-{_WORD}{{20,}}"),
    _form(
        "openai-key",
        "an OpenAI-style API key",
        rf"sk-(?:proj-|svcacct-|admin-|or-v1-)?{_WORD}{{20,}}",
    ),
    _form("sendgrid-key", "a SendGrid API key", rf"SG\.{_WORD}{{16,}}\.{_WORD}{{32,}}"),
    _form("twilio-key", "a Twilio API key", r"SK[0-9a-f]{32}\b", Risk.HIGH),
    _form("npm-token", "an npm token", r"npm_[A-Za-z0-9]{36}"),
    _form("pypi-token", "a PyPI token", rf"pypi-{_WORD}{{50,}}"),
    _form("rubygems-key", "a RubyGems API key", r"rubygems_[0-9a-f]{48}"),
    _form("docker-token", "a Docker Hub token", rf"dckr_(?:pat|oat)_{_WORD}{{20,}}"),
    _form("google-api-key", "a Google API key", rf"AIza{_WORD}{{35}}", Risk.HIGH, public=True),
    _form("google-oauth-secret", "a Google OAuth client secret", rf"GOCSPX-{_WORD}{{20,}}"),
    _form("google-token", "a Google access token", rf"ya29\.{_WORD}{{20,}}"),
    _form("digitalocean-token", "a DigitalOcean token", r"do[opr]_v1_[0-9a-f]{64}"),
    _form("heroku-key", "a Heroku API key", rf"HRKU-{_WORD}{{30,}}"),
    _form("netlify-token", "a Netlify token", r"nfp_[A-Za-z0-9]{36,}"),
    _form("doppler-token", "a Doppler token", r"dp\.(?:pt|st|sa|ct|scim|audit)\.[\w.-]{30,}"),
    _form("vault-token", "a Vault token", rf"hv[sbr]\.{_WORD}{{24,}}"),
    _form(
        "terraform-token", "a Terraform Cloud token", rf"[A-Za-z0-9]{{14}}\.atlasv1\.{_WORD}{{60,}}"
    ),
    _form("shopify-token", "a Shopify token", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    _form("square-token", "a Square token", rf"sq0(?:atp|csp)-{_WORD}{{22,}}"),
    _form("mailgun-key", "a Mailgun API key", r"key-[0-9a-f]{32}\b"),
    _form("mailchimp-key", "a Mailchimp API key", r"[0-9a-f]{32}-us\d{1,2}\b"),
    _form("resend-key", "a Resend API key", r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}"),
    _form("linear-key", "a Linear API key", r"lin_(?:api|oauth)_[A-Za-z0-9]{32,}"),
    _form("notion-token", "a Notion token", r"(?:secret|ntn)_[A-Za-z0-9]{40,}"),
    _form("huggingface-token", "a Hugging Face token", r"hf_[A-Za-z0-9]{30,}"),
    _form("replicate-token", "a Replicate token", r"r8_[A-Za-z0-9]{37,}"),
    _form("groq-key", "a Groq API key", r"gsk_[A-Za-z0-9]{48,}"),
    _form(
        "supabase-key", "a Supabase secret key", rf"(?:sbp_[0-9a-f]{{40}}|sb_secret_{_WORD}{{20,}})"
    ),
    _form("planetscale-password", "a PlanetScale password", r"pscale_(?:pw|tkn|oauth)_[\w.-]{30,}"),
    _form("tigris-key", "a Tigris secret key", r"tsec_[A-Za-z0-9_+/-]{20,}"),
    _form("tailscale-key", "a Tailscale key", rf"tskey-(?:auth|api|client|scim)-{_WORD}{{16,}}"),
    _form("new-relic-key", "a New Relic key", r"NRAK-[A-Z0-9]{27}"),
    _form("grafana-token", "a Grafana token", r"gl(?:c|sa)_[A-Za-z0-9_+/=]{32,}"),
    _form("sentry-token", "a Sentry token", r"sntry[su]_[A-Za-z0-9_+/=-]{40,}"),
    _form("databricks-token", "a Databricks token", r"dapi[0-9a-f]{32}"),
    _form("age-key", "an age secret key", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    _form(
        "json-web-token",
        "a JSON Web Token",
        rf"eyJ{_WORD}{{8,}}\.eyJ{_WORD}{{8,}}\.{_WORD}{{16,}}",
        Risk.HIGH,
        public=True,
    ),
)
