"""An S3 server and a Ray of two workers, once for all tests: both take seconds to start."""

import time
from pathlib import Path

import pytest
from killing import gone


@pytest.fixture(scope="session")
def s3_server():
    """An S3 server in this process; worker processes find it by the environment."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield
    server.stop()


@pytest.fixture(scope="session")
def two_ray_workers(s3_server):
    """A Ray of our own that knows the S3 server; it leaves no process behind."""
    ray = pytest.importorskip("ray")
    before = ray_processes()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()
    deadline = time.monotonic() + 20
    while ray_processes() - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not ray_processes() - before, "Ray left processes behind"


def ray_processes():
    """Process ids of all of Ray's on this machine."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if not gone(folder.name) and (b"raylet" in command or b"gcs_server" in command or command.startswith(b"ray::")):
            found.add(int(folder.name))
    return found
