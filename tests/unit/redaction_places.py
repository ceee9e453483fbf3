"""The places that a value could come out by: each puts one there as careless code would."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
import logging
import subprocess
import sys
import textwrap
import threading
import traceback
import urllib.parse
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx
import pydantic
import sqlalchemy.exc
import structlog
import typer
from rich.table import Table
from rich.text import Text

from rotator.cli.crashes import tell_of_task
from rotator.cli.failures import explain
from rotator.cli.lines import wrapped_lines
from rotator.cli.text import console, print_json, say, show, show_lines
from rotator.domain.errors import InputError, Refused, Unavailable
from rotator.fly.call import Call, Effect
from rotator.fly.failures import failure
from rotator.store import rows
from tests.integration.store_objects import a_restart, a_rollout, a_rotation, a_step
from tests.unit.redaction_world import NOW, World

Place = Callable[[World, str], None]
PLACES: Final[dict[str, Place]] = {}


def place(put: Place) -> Place:
    """Note a place by its name."""
    PLACES[put.__name__] = put
    return put


@dataclass
class Holder:
    """Something whose repr shows what it has."""

    name: str
    inside: object


def _raised(make: Callable[[], BaseException]) -> BaseException:
    try:
        raise make()
    except BaseException as error:
        return error


def _logged(world: World, error: BaseException) -> None:
    world.log.error("failed", exc_info=error)


# -- logs


@place
def log_message(world: World, value: str) -> None:
    world.log.info(f"the value {value} was refused")


@place
def log_field(world: World, value: str) -> None:
    world.log.info("refused", what=value)


@place
def log_field_in_a_sentence(world: World, value: str) -> None:
    world.log.info("refused", what=f"'{value}', which is wrong")


@place
def log_nested(world: World, value: str) -> None:
    world.log.info("refused", data={"a": [{"b": (value, 1)}, {"c": {value}}]})


@place
def log_key(world: World, value: str) -> None:
    world.log.info("refused", data={value: 1})


@place
def log_telling_name(world: World, value: str) -> None:
    world.log.info("refused", db_password=value, headers=[{"Authorization": value}])


@place
def log_bytes(world: World, value: str) -> None:
    world.log.info("refused", body=value.encode())


@place
def log_secret_type(world: World, value: str) -> None:
    world.log.info("refused", secret=pydantic.SecretStr(value), raw=[pydantic.SecretStr(value)])


@place
def log_dataclass(world: World, value: str) -> None:
    world.log.info("refused", holder=Holder("a", {"b": value}))


@place
def log_object(world: World, value: str) -> None:
    world.log.info("refused", request=httpx.URL("https://x.example/", params={"q": value}))


@place
def log_positional(world: World, value: str) -> None:
    world.log.info("refused %s of %s", value, "web")


@place
def log_context(world: World, value: str) -> None:
    with structlog.contextvars.bound_contextvars(request=value):
        world.log.info("refused")


@place
def log_bound(world: World, value: str) -> None:
    world.log.bind(who=value).warning("refused")


@place
def library_log_percent(world: World, value: str) -> None:
    logging.getLogger("httpx").error("HTTP Request: GET %s", f"https://x.example/?q={value}")


@place
def library_log_dict(world: World, value: str) -> None:
    logging.getLogger("sqlalchemy.engine").error("[generated] %r", {"param": value})


@place
def library_log_exception(world: World, value: str) -> None:
    try:
        raise RuntimeError(f"job got {value}")
    except RuntimeError:
        logging.getLogger("apscheduler.executors").exception("Job raised an exception")


@place
def library_log_extra(world: World, value: str) -> None:
    logging.getLogger("other").error("refused", extra={"body": value})


@place
def log_stack(world: World, value: str) -> None:
    logging.getLogger("other").error("where %s", value, stack_info=True)


@place
def log_escaped(world: World, value: str) -> None:
    world.log.info("answer", text=json.dumps({"inner": json.dumps({"v": value})}))


@place
def log_warning_of_library(world: World, value: str) -> None:
    logging.getLogger("py.warnings").warning("%s", f"x.py:1: UserWarning: {value} is deprecated")


# -- exceptions, in logs


@place
def exception_argument(world: World, value: str) -> None:
    _logged(world, _raised(lambda: ValueError("bad", value)))


@place
def exception_chained(world: World, value: str) -> None:
    def make() -> BaseException:
        outer = RuntimeError("outer")
        outer.__cause__ = ValueError(f"inner {value}")
        return outer

    _logged(world, _raised(make))


@place
def exception_context(world: World, value: str) -> None:
    try:
        try:
            raise ValueError(value)
        except ValueError:
            raise KeyError("other")  # noqa: B904 - this is what it is about
    except KeyError as error:
        _logged(world, error)


@place
def exception_group(world: World, value: str) -> None:
    group = ExceptionGroup("several", [ValueError(value), ExceptionGroup("in", [OSError(value)])])
    _logged(world, _raised(lambda: group))


@place
def exception_note(world: World, value: str) -> None:
    error = ValueError("bad")
    error.add_note(f"while reading {value}")
    _logged(world, _raised(lambda: error))


@place
def exception_local(world: World, value: str) -> None:
    secretly = value  # noqa: F841 - what a traceback with variables would show
    try:
        raise ValueError("bad")
    except ValueError:
        world.log.exception("failed")


@place
def key_error(world: World, value: str) -> None:
    _logged(world, _raised(lambda: KeyError(value)))


@place
def file_name_error(world: World, value: str) -> None:
    _logged(world, _raised(lambda: FileNotFoundError(2, "no such file", f"/run/{value}")))


@place
def unicode_error(world: World, value: str) -> None:
    error = UnicodeDecodeError("utf-8", value.encode() + b"\xff", 0, 1, "invalid start byte")
    world.log.error("failed", error=error, shown=repr(error))


@place
def subprocess_error(world: World, value: str) -> None:
    error = subprocess.CalledProcessError(1, ["fly", "secrets", "set", f"A={value}"], value, value)
    world.log.error("failed", error=str(error), shown=repr(error))


@place
def subprocess_timeout(world: World, value: str) -> None:
    _logged(world, _raised(lambda: subprocess.TimeoutExpired(f"psql '{value}'", 3)))


@place
def validation_error(world: World, value: str) -> None:
    class Model(pydantic.BaseModel):
        number: int

    try:
        Model.model_validate({"number": value})
    except pydantic.ValidationError as error:
        world.log.error("failed", error=str(error), errors=error.errors(), json=error.json())


@place
def statement_error(world: World, value: str) -> None:
    error = sqlalchemy.exc.StatementError(
        "failed", "INSERT INTO t VALUES (:v)", {"v": value}, ValueError(value)
    )
    world.log.error("failed", error=str(error))


@place
def http_status_error(world: World, value: str) -> None:
    request = httpx.Request("POST", f"https://x.example/{urllib.parse.quote(value)}")
    response = httpx.Response(500, request=request, text=value)
    _logged(
        world, _raised(lambda: httpx.HTTPStatusError(value, request=request, response=response))
    )


@place
def http_request(world: World, value: str) -> None:
    request = httpx.Request("POST", "https://x.example/", json={"v": value}, params={"p": value})
    world.log.error("failed", request=request, url=request.url, content=request.content)


@place
def http_headers(world: World, value: str) -> None:
    headers = {"X-Other": value.replace("\n", " ").encode("utf-8")}
    world.log.error("failed", headers=httpx.Headers(headers), raw=list(headers.items()))


# -- errors as they are told, and what Fly says


@place
def fly_says_it(world: World, value: str) -> None:
    call = Call("set A of web", "POST", "/v1/apps/web/secrets", "app", "web", Effect.CHANGE)
    answer = httpx.Response(422, json={"error": f"the value {value} is not allowed"})
    explain(failure(call, answer, NOW))


@place
def fly_request_id(world: World, value: str) -> None:
    call = Call("set A of web", "POST", "/v1/apps/web/secrets", "app", "web", Effect.CHANGE)
    answer = httpx.Response(500, headers={"fly-request-id": value.encode().hex()})
    world.log.error("failed", ref=failure(call, answer, NOW).request_id)


@place
def input_error(world: World, value: str) -> None:
    explain(InputError(f"{value} is no app", where=f"--app {value}", next_step=f"not {value}"))


@place
def refused_error(world: World, value: str) -> None:
    explain(Refused("no", next_step=f"fly secrets set A='{value}'", request_id=value))


@place
def group_of_errors(world: World, value: str) -> None:
    explain(ExceptionGroup("two", [Unavailable(value), OSError(2, "none", value)]))


@place
def daemon_job_error(world: World, value: str) -> None:
    world.log.warning("job failed; it runs again", job="advance", error=str(Refused(value)))


# -- what is kept


@place
def event_reason(world: World, value: str) -> None:
    world.event(reason=f"leaked {value} in CI")


@place
def event_detail(world: World, value: str) -> None:
    world.event(error=f"Fly said: {value}")


@place
def event_telling_name(world: World, value: str) -> None:
    world.event(wireguard_private_key=value)


@place
def event_detail_key(world: World, value: str) -> None:
    world.event(**{f"got {value}": "1"})


@place
def event_detail_base64(world: World, value: str) -> None:
    world.event(body=base64.b64encode(f"user:{value}".encode()).decode())


@place
def step_row(world: World, value: str) -> None:
    world.kept.append(repr(rows.step_values(replace(a_step(), error=f"Fly said {value}"))))


@place
def rollout_row(world: World, value: str) -> None:
    world.kept.append(repr(rows.rollout_values(a_rollout(error=f"Fly said {value}"))))


@place
def restart_row(world: World, value: str) -> None:
    world.kept.append(repr(rows.restart_values(a_restart(note=f"check said {value}"), "web")))


@place
def rotation_row(world: World, value: str) -> None:
    world.kept.append(repr(rows.rotation_values(a_rotation(reason=f"leaked: {value}"))))


# -- what commands print


@place
def cli_line(world: World, value: str) -> None:
    say(f"the value is {value}")


@place
def cli_json(world: World, value: str) -> None:
    print_json({"rows": [{"name": "a", "what": value}]})


@place
def cli_table(world: World, value: str) -> None:
    table = Table("name", width=24)
    table.add_column("value", overflow="fold")
    for row in range(3):
        table.add_row(f"row {row}", value)
    show(table)


@place
def cli_styled_cell(world: World, value: str) -> None:
    table = Table("name", "value", width=30)
    table.add_row(Text("a", "red"), Text(f"is {value}", "bold"))
    show(table)


@place
def cli_markup(world: World, value: str) -> None:
    console().print(Text.assemble("is ", (value, "green")), no_wrap=True, overflow="ignore")


@place
def cli_folded_lines(world: World, value: str) -> None:
    show_lines(wrapped_lines(f"Fly said: {value}", 24, label="      ", fold=True))


@place
def cli_wrapped_at_80(world: World, value: str) -> None:
    say(textwrap.fill(f"{'word ' * 12}{value} and more words", 80))


@place
def cli_several_writes(world: World, value: str) -> None:
    for at in range(0, len(value), 5):
        sys.stdout.write(value[at : at + 5])
    sys.stdout.write("\n")


@place
def cli_bytes(world: World, value: str) -> None:
    sys.stdout.buffer.write(f"<td>{value}</td>\n".encode())
    sys.stdout.flush()


@place
def cli_csv(world: World, value: str) -> None:
    csv.writer(sys.stdout).writerow(["a", value, "b"])


@place
def cli_echo(world: World, value: str) -> None:
    typer.echo(f"got {value}")
    typer.echo(f"got {value}", err=True)


@place
def cli_no_newline(world: World, value: str) -> None:
    print(f"password? {value}", end="", flush=True)


@place
def cli_traceback(world: World, value: str) -> None:
    try:
        raise ValueError(value)
    except ValueError:
        traceback.print_exc()


@place
def two_lines(world: World, value: str) -> None:
    half = len(value) // 2
    say(f"{value[:half]}\n    {value[half:]}")


# -- forms


@place
def form_url(world: World, value: str) -> None:
    say(f"GET /x?v={urllib.parse.quote_plus(value)}&w={urllib.parse.quote(value, safe='')}")


@place
def form_base64(world: World, value: str) -> None:
    for before in ("", "a", "ab"):
        say(base64.b64encode(f"{before}{value}zz".encode()).decode())


@place
def form_base64_url(world: World, value: str) -> None:
    say(base64.urlsafe_b64encode(f"user:{value}".encode()).decode())


@place
def form_hex(world: World, value: str) -> None:
    say(f"{value.encode().hex()} {value.encode().hex().upper()}")


@place
def form_json(world: World, value: str) -> None:
    say(json.dumps({"v": value}) + json.dumps({"v": value}, ensure_ascii=False))


@place
def form_repr(world: World, value: str) -> None:
    say(f"{value!r} {value!a} {[value]}")


@place
def cut_short(world: World, value: str) -> None:
    say(f"begins with {value[: max(20, len(value) // 2)]}…")


# -- crashes


@place
def uncaught(world: World, value: str) -> None:
    error = _raised(lambda: ValueError(value))
    sys.excepthook(type(error), error, error.__traceback__)


@place
def in_a_thread(world: World, value: str) -> None:
    def fail() -> None:
        raise ValueError(value)

    thread = threading.Thread(target=fail, name=f"worker {value}")
    thread.start()
    thread.join()


@place
def in_a_finaliser(world: World, value: str) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ValueError(value)

    hook = sys.unraisablehook
    assert hook.__module__ == "rotator.cli.crashes"
    Broken()


@place
def in_a_task(world: World, value: str) -> None:
    async def fail() -> None:
        raise ValueError(value)

    async def forget() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(tell_of_task)
        task = loop.create_task(fail(), name=f"task {value}")
        await asyncio.sleep(0)
        context: dict[str, Any] = {"message": f"{task!r} failed", "exception": task.exception()}
        loop.call_exception_handler(context)

    asyncio.run(forget())


@place
def warned(world: World, value: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning(UserWarning(value), UserWarning, "x.py", 1, io.StringIO())
