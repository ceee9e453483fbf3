"""What a Dockerfile puts into an image, and as whom it runs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rotator.domain.posture.config_checks_runtime import by_tag, loosened, pin
from rotator.domain.posture.config_checks_secrets import (
    SECRET_FILE,
    check_comment,
    secret_name,
    set_command,
    told,
    variable_for,
)
from rotator.domain.posture.config_file import Span
from rotator.domain.posture.config_place import Place, Surroundings
from rotator.domain.posture.dockerfile import Assignment, Dockerfile, Instruction, Stage, expanded
from rotator.domain.posture.finding import Finding
from rotator.domain.posture.rules_config import (
    BASE_BY_TAG,
    ROOT,
    SECRET_BY_BUILD_ARG,
    SECRET_FILE_COPIED,
    SECRET_IN_DOCKERFILE,
    TLS_UNVERIFIED,
)
from rotator.domain.posture.secret_names import NameSays, what_name_says
from rotator.domain.posture.secrets_in_text import suspicion, suspicions_in_file, suspicions_in_text
from rotator.domain.risk import Risk

_SCRIPTED: Final = frozenset({"RUN", "CMD", "ENTRYPOINT", "HEALTHCHECK"})
_ROOT_USERS: Final = frozenset({"root", "0"})
_NOT_ROOT_IMAGE: Final = re.compile(
    r"nonroot|rootless|unprivileged|^cgr\.dev/chainguard/|^(?:docker\.io/)?(?:library/)?"
    r"(?:bitnami/|curlimages/|grafana/|prom/|jenkins/|elasticsearch|kibana|logstash|memcached)"
)
_STEPS_DOWN: Final = re.compile(
    r"\b(?:gosu|su-exec|setpriv|s6-setuidgid|runuser|setuidgid|chpst|dumb-init-as)\b|\bsu\s+-?\s*\w+\s+-c"
)
"""Programs by which an entry point gives root up."""


@dataclass(frozen=True)
class Build:
    """A Dockerfile with what it is built for."""

    file: Dockerfile
    app: str = ""
    targets: tuple[str, ...] = ("",)
    """The stages that are deployed; \"\" is the last one."""
    scripts: str = field(default="", repr=False)
    """The text of the local scripts that are copied in: an entry point may give root up."""

    def place(self, name: str, span: Span) -> Place:
        """A place in the file."""
        return Place(self.file.path, name, span, self.app)


def check_dockerfile(build: Build, around: Surroundings) -> Iterator[Finding]:
    """Everything that is wrong in a Dockerfile."""
    for argument in build.file.arguments:
        yield from _assigned(build, argument, around)
    for stage in build.file.stages:
        for instruction in stage.instructions:
            yield from _assigned(build, instruction, around)
            yield from _scripts(build, instruction, around)
            yield from _copies(build, instruction)
    for comment in build.file.comments:
        yield from check_comment(build.file.path, build.app, comment, around)
    yield from _bases(build)
    for stage in dict.fromkeys(build.file.target(name) for name in build.targets):
        yield from _user(build, stage)


def _assigned(build: Build, instruction: Instruction, around: Surroundings) -> Iterator[Finding]:
    for each in instruction.assignments:
        place = build.place(f"{instruction.keyword}.{each.name}", each.span)
        what = f"{instruction.keyword} {each.name}"
        if each.value is None:
            if _asks_for_secret(each):
                yield place.finding(
                    SECRET_BY_BUILD_ARG, f"{what} takes a secret", _mount(each.name)
                )
            continue
        found = suspicion(each.name, each.value, around.now)
        if found is not None:
            yield told(place, SECRET_IN_DOCKERFILE, found, what, _out(build, instruction, each))
        loose = loosened(each.name, each.value) if instruction.keyword == "ENV" else None
        if loose is not None:
            yield place.finding(TLS_UNVERIFIED, loose, f"take {each.name} out of ENV")


def _asks_for_secret(argument: Assignment) -> bool:
    """Whether an argument without a default is there to be given a secret."""
    return what_name_says(argument.name) is NameSays.SENSITIVE


def _mount(name: str) -> str:
    return f"take ARG {name} out, and read it in the RUN that needs it from {_mounted(name)}"


def _mounted(name: str) -> str:
    return (
        f'RUN --mount=type=secret,id={name} {name}="$(cat /run/secrets/{name})" ...; deploy with: '
        f'fly deploy --build-secret {name}="${name}"'
    )


def _out(build: Build, instruction: Instruction, each: Assignment) -> str:
    if instruction.keyword == "ARG":
        return f"replace the value, then {_mount(each.name)}"
    name = secret_name(each.name)
    return f"take {each.name} out, replace the value, then: {set_command(name, build.app)}"


def _scripts(build: Build, instruction: Instruction, around: Surroundings) -> Iterator[Finding]:
    if instruction.keyword in _SCRIPTED:
        found = list(suspicions_in_text(instruction.text, around.now))
        found += suspicions_in_file(instruction.body, around.now)
    else:
        found = list(suspicions_in_file(instruction.body, around.now))
    for each in found:
        place = build.place(f"{instruction.keyword}~{each.label}", instruction.span)
        name = variable_for(each)
        mend = f"replace the value, and use ${name} from {_mounted(name)}"
        if instruction.keyword in ("CMD", "ENTRYPOINT", "HEALTHCHECK"):
            mend = f"read ${name} from the environment, then: {set_command(name, build.app)}"
        yield told(place, SECRET_IN_DOCKERFILE, each, f"a {instruction.keyword}", mend)


def _copies(build: Build, instruction: Instruction) -> Iterator[Finding]:
    if instruction.keyword not in ("COPY", "ADD") or instruction.flag("from"):
        return
    for word in instruction.words[:-1]:
        if SECRET_FILE.search(word.text):
            place = build.place(f"{instruction.keyword}.{word.text}", word.span)
            yield place.finding(
                SECRET_FILE_COPIED,
                f"{word.text} is copied into the image",
                f"take it out of {instruction.keyword}, put {word.text} into .dockerignore, then: "
                f"fly secrets import{' --app ' + build.app if build.app else ''} < {word.text}",
            )


def _bases(build: Build) -> Iterator[Finding]:
    seen: set[str] = set()
    for written, span in _images(build.file):
        image = expanded(written, build.file.defaults)
        if image is None or image.lower() == "scratch" or "@sha256:" in image or image in seen:
            continue
        seen.add(image)
        message, risk = by_tag(image)
        yield build.place(f"FROM.{image}", span).finding(BASE_BY_TAG, message, pin(image), risk)


def _images(file: Dockerfile) -> Iterator[tuple[str, Span]]:
    """The images from outside that stages are built upon, and that COPY --from takes files of."""
    for stage in file.stages:
        if file.base(stage) is None:
            yield stage.image.text, stage.image.span
        for instruction in stage.instructions:
            for name in instruction.flag("from"):
                if "/" in name or ":" in name:
                    yield name, instruction.span


def _user(build: Build, target: Stage) -> Iterator[Finding]:
    chain = build.file.lineage(target)
    instructions = [i for stage in chain for i in stage.instructions]
    users = [i for i in instructions if i.keyword == "USER" and i.words]
    if users and not _is_root(build, users[-1], instructions):
        return
    if not users and _starts_as_somebody(build, chain[0]):
        return
    scripts = [i.text for i in instructions if i.keyword in _SCRIPTED]
    if any(_STEPS_DOWN.search(text) for text in (build.scripts, *scripts)):
        return
    span = users[-1].span if users else target.image.span
    base = expanded(chain[0].image.text, build.file.defaults) or ""
    hedged = not users and "/" in base.removeprefix("docker.io/").removeprefix("library/")
    said = f"its last USER is {users[-1].words[0].text}" if users else "it has no USER"
    if hedged:
        said += f", unless {base} sets one"
    last = target == build.file.stages[-1]
    place = build.place("USER" if last else f"USER.{target.name or target.number}", span)
    yield place.finding(
        ROOT,
        f"the image runs its commands as root: {said}",
        "add to the last stage: RUN useradd --system --uid 10001 app (adduser -S -u 10001 app on "
        "Alpine), then USER 10001; give it what it writes to with COPY --chown=10001 and chown",
        Risk.LOW if hedged else None,
    )


def _is_root(build: Build, user: Instruction, instructions: list[Instruction]) -> bool:
    values = dict(build.file.defaults)
    for instruction in instructions:
        if instruction.keyword in ("ARG", "ENV"):
            values |= {a.name: a.value for a in instruction.assignments if a.value is not None}
    name = expanded(user.words[0].text, values)
    return name is not None and name.partition(":")[0].lower() in _ROOT_USERS


def _starts_as_somebody(build: Build, first: Stage) -> bool:
    """Whether the base image is known to run as somebody else, or is not known at all."""
    image = expanded(first.image.text, build.file.defaults)
    return image is None or _NOT_ROOT_IMAGE.search(image) is not None
