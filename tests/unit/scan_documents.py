"""Reports in the forms that the tools' documents describe, written for these tests: an image with
one critical, one high, one medium and one low hole; the two serious ones in openssl and zlib."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

DIGEST = "sha256:" + "c1" * 32
IMAGE = "registry.fly.io/web"
Json = dict[str, Any]

_HOLES = (
    ("CVE-2026-0001", "openssl", "3.0.11-1", "3.0.15-1", "CRITICAL", 9.8),
    ("CVE-2026-0002", "zlib1g", "1:1.2.13", "", "HIGH", 7.5),
    ("CVE-2026-0003", "curl", "7.88.1", "7.88.2", "MEDIUM", 5.3),
    ("CVE-2026-0004", "bash", "5.2", "", "LOW", 2.1),
)


def trivy() -> Json:
    holes = [
        {
            "VulnerabilityID": name,
            "PkgName": package,
            "InstalledVersion": installed,
            **({"FixedVersion": fixed} if fixed else {}),
            "Status": "affected",
            "Severity": severity,
        }
        for name, package, installed, fixed, severity, _ in _HOLES
    ]
    return {
        "SchemaVersion": 2,
        "CreatedAt": "2026-05-20T10:00:00.123456789+02:00",
        "ArtifactName": f"{IMAGE}:v7",
        "ArtifactType": "container_image",
        "Metadata": {
            "OS": {"Family": "debian", "Name": "10.13", "EOSL": True},
            "ImageID": "sha256:" + "00" * 32,
            "RepoTags": [f"{IMAGE}:v7"],
            "RepoDigests": [f"{IMAGE}@{DIGEST}"],
            "ImageConfig": {
                "architecture": "amd64",
                "created": "2026-01-02T03:04:05Z",
                "config": {"Cmd": ["/app"], "User": "app"},
            },
        },
        "Results": [
            {"Target": "web (debian 10.13)", "Class": "os-pkgs", "Vulnerabilities": holes},
            {"Target": "app/gobinary", "Class": "lang-pkgs", "Vulnerabilities": None},
            {"Target": "OS Packages", "Class": "license"},
        ],
    }


def grype() -> Json:
    config = {"created": "2026-01-02T03:04:05Z", "config": {"User": "app"}}
    return {
        "matches": [
            {
                "vulnerability": {
                    "id": name,
                    "severity": severity.title() if severity != "LOW" else "Negligible",
                    "fix": {
                        "versions": [fixed] if fixed else [],
                        "state": "fixed" if fixed else "not-fixed",
                    },
                },
                "artifact": {"name": package, "version": installed, "type": "deb"},
            }
            for name, package, installed, fixed, severity, _ in _HOLES
        ],
        "ignoredMatches": [{"vulnerability": {"id": "CVE-2020-9999", "severity": "Critical"}}],
        "source": {
            "type": "image",
            "target": {
                "userInput": f"{IMAGE}:v7",
                "imageID": "sha256:" + "00" * 32,
                "manifestDigest": DIGEST,
                "repoDigests": [f"{IMAGE}@{DIGEST}"],
                "config": base64.b64encode(json.dumps(config).encode()).decode(),
            },
        },
        "distro": {"name": "debian", "version": "10", "idLike": []},
        "descriptor": {
            "name": "grype",
            "version": "0.99.0",
            "timestamp": "2026-05-20T08:00:00.123456789Z",
        },
    }


def cyclonedx() -> Json:
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "metadata": {
            "timestamp": "2026-05-20T08:00:00Z",
            "component": {
                "bom-ref": "root",
                "type": "container",
                "name": f"{IMAGE}:v7",
                "purl": f"pkg:oci/web@{DIGEST.replace(':', '%3A')}?arch=amd64",
            },
        },
        "components": [
            {"bom-ref": "os", "type": "operating-system", "name": "debian", "version": "10.13"},
            *(
                {"bom-ref": f"r-{package}", "name": package, "version": installed}
                for _, package, installed, *_ in _HOLES[:2]
            ),
        ],
        "vulnerabilities": [
            {
                "id": name,
                "ratings": [
                    {"severity": "none", "source": {"name": "other"}},
                    {"severity": severity.lower(), "score": score},
                ],
                "affects": [
                    {
                        "ref": f"r-{package}"
                        if severity in ("CRITICAL", "HIGH")
                        else f"pkg:deb/debian/{package}@{installed}?distro=debian-10"
                    }
                ],
            }
            for name, package, installed, _, severity, score in _HOLES
        ]
        + [
            {
                "id": "CVE-2020-9999",
                "ratings": [{"severity": "critical"}],
                "analysis": {"state": "not_affected"},
            }
        ],
    }


def sarif() -> Json:
    rules: list[Json] = [
        {
            "id": name,
            "name": "OsPackageVulnerability",
            "defaultConfiguration": {"level": "error"},
            "properties": {
                "tags": ["vulnerability", "security", severity],
                "security-severity": str(score),
            },
        }
        for name, _, _, _, severity, score in _HOLES
    ]
    results: list[Json] = [
        {
            "ruleId": name,
            "ruleIndex": place,
            "level": "error",
            "message": {
                "text": f"Package: {package}\nInstalled Version: {installed}\nVulnerability {name}"
                f"\nSeverity: {severity}\nFixed Version: {fixed}\nLink: [{name}](https://e)"
            },
        }
        for place, (name, package, installed, fixed, severity, _) in enumerate(_HOLES)
    ]
    rules.append(
        {
            "id": "aws-access-key-id",
            "name": "Secret",
            "properties": {"tags": ["secret", "CRITICAL"]},
        }
    )
    results += [
        {"ruleId": "aws-access-key-id", "message": {"text": "Match: AKIAIOSFODNN7EXAMPLE"}},
        {**copy.deepcopy(results[0]), "suppressions": [{"kind": "external"}], "ruleId": "CVE-9"},
    ]
    return {
        "version": "2.1.0",
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "runs": [
            {
                "tool": {"driver": {"name": "Trivy", "rules": rules}},
                "results": results,
                "invocations": [
                    {"executionSuccessful": True, "endTimeUtc": "2026-05-20T08:00:00Z"}
                ],
                "properties": {"imageName": f"{IMAGE}:v7", "repoDigests": [f"{IMAGE}@{DIGEST}"]},
            }
        ],
    }


FORMATS = {"trivy": trivy, "grype": grype, "cyclonedx": cyclonedx, "sarif": sarif}
