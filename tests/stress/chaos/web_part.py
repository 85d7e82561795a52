"""`bx24app web` as a process of its own beside a `ChaosStack`, alone or behind a proxy with the file that we ship.

The web process of the stack itself runs inside the test; an attack needs one whose memory can be measured.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bx24app.infra.processes.web_server import is_answering
from scripts import needs
from tests.support.servers import free_port, running_program
from tests.support.stack import until

ROOT = Path(__file__).parents[3]
PROXIES = ("none", "nginx", "Caddy")


def installed_proxies() -> list[str]:
    """Of `PROXIES`, those that can be tried on this machine."""
    return [proxy for proxy in PROXIES if proxy == "none" or needs.proxy(proxy.lower())]


@dataclass(frozen=True)
class WebPart:
    """A running web part. `port`: where the outside connects, the proxy's if there is one. `pid`: its supervisor."""

    proxy: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def peak_megabytes(self) -> float:
        """The highest resident memory of its largest process since it began (VmHWM)."""
        return max(_peak_kilobytes(pid) for pid in (self.pid, *_children(self.pid))) / 1024


@contextmanager
def web_part(environ: dict[str, str], folder: Path, proxy: str = "none") -> Iterator[WebPart]:
    """Start the web part with these variables, and in front of it one of `PROXIES`, both on loopback."""
    own, port = free_port(), free_port()
    variables = {**environ, "BX24APP_TRUSTED_PROXIES": str(int(proxy != "none")), "BX24APP_LOG_LEVEL": "ERROR"}
    command = [sys.executable, "-m", "bx24app.cli", "web", "--port", str(own)]
    with ExitStack() as stack:
        process = stack.enter_context(running_program(command, variables, folder / f"web-{own}.log"))
        until(lambda: is_answering(f"http://127.0.0.1:{own}"), "the web part did not start", 60)
        if proxy != "none":
            stack.enter_context(running_proxy(proxy, folder, own, port))
        yield WebPart(proxy, own if proxy == "none" else port, process.pid)


@contextmanager
def running_proxy(name: str, folder: Path, own: int, port: int) -> Iterator[None]:
    begin = {"nginx": _nginx_command, "Caddy": _caddy_command}[name]
    command, variables = begin(folder, own, port)
    log = folder / f"{name}-{port}.log"
    with running_program(command, {**os.environ, **variables}, log, signal.SIGTERM):
        until(lambda: is_answering(f"http://127.0.0.1:{port}"), f"{name} did not start: {log}", 30)
        yield


def _nginx_command(folder: Path, own: int, port: int) -> tuple[list[str], dict[str, str]]:
    text = shipped_nginx(own, port, folder)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind}-{port};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    top = f"{user}daemon off;\npid {folder}/nginx-{port}.pid;\nerror_log stderr;\nevents {{}}\n"
    path = folder / f"nginx-{port}.conf"
    path.write_text(f"{top}http {{\n{temporary}{text}}}\n")
    return [str(needs.proxy("nginx")), "-p", str(folder), "-e", "stderr", "-c", str(path)], {}


def shipped_nginx(own: int, port: int, logs: Path) -> str:
    """deploy/nginx.conf for loopback ports without TLS; nothing else is changed."""
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{own}").replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
    text = text.replace("/var/log/nginx", str(logs))
    return re.sub(r"^\s*ssl_\w+ .*$", "", text, flags=re.MULTILINE)


def shipped_caddyfile(own: int) -> str:
    """deploy/Caddyfile for a loopback port, in the words of the Caddy that is installed."""
    text = (ROOT / "deploy" / "Caddyfile").read_text().replace("app:8000", f"127.0.0.1:{own}")
    version = subprocess.run([str(needs.proxy("caddy")), "version"], capture_output=True, text=True, check=True).stdout
    numbers = re.findall(r"\d+", version)
    if [int(number) for number in numbers[:2]] < [2, 7]:
        text = re.sub(r"request_buffers (\S+)", r"buffer_requests\n\t\tmax_buffer_size \1", text)
        text = re.sub(r"response_buffers \S+", "buffer_responses", text)
    return text


def _caddy_command(folder: Path, own: int, port: int) -> tuple[list[str], dict[str, str]]:
    path = folder / f"Caddyfile-{port}"
    path.write_text(shipped_caddyfile(own))
    variables = {
        "BX24APP_HOST": f"http://127.0.0.1:{port}",
        "CADDY_ADMIN": f"unix/{folder}/caddy-{port}.sock",
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    return [str(needs.proxy("caddy")), "run", "--config", str(path), "--adapter", "caddyfile"], variables


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def _peak_kilobytes(pid: int) -> int:
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found.group(1)) if found else 0
