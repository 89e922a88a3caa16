"""Children end with the process that started them, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mrseg_label import processes
from tests.support.process_trees import FAMILY, any_running, ids_in, is_running, wait_until

EXIT_OF_A_THREAD = {"x86_64": 60, "aarch64": 93}  # the system call exit, which ends one thread

# A child of ours that watches its parent and has children of its own; it writes all ids.
CHILD = """
import os, signal, subprocess, sys, time
from mrseg_label.processes import end_with_parent
grace = float(sys.argv[2])
end_with_parent(grace)
subprocess.Popen(["sh", "-c", {family!r}.format(ids=sys.argv[1])], stdin=subprocess.DEVNULL)
if grace:
    def note(*_):
        open(sys.argv[1] + ".term", "w").close()
        if sys.argv[3] == "end":
            sys.exit(0)
    signal.signal(signal.SIGTERM, note)
with open(sys.argv[1], "a") as ids:
    print(os.getpid(), file=ids)
while True:
    time.sleep(0.1)
"""


def start(ids: Path, *arguments: str) -> subprocess.Popen[bytes]:
    script = CHILD.format(family=FAMILY)
    child = processes.start_child([sys.executable, "-c", script, str(ids), *arguments])
    wait_until(lambda: len(ids_in(ids)) == 4)
    return child


def test_a_child_takes_its_own_children_along(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    child = start(ids, "0")
    assert all(map(is_running, ids_in(ids)))
    processes.end_child(child)
    assert child.wait(20) == -signal.SIGKILL
    wait_until(lambda: not any_running(ids_in(ids)), 10)


def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    parent = textwrap.dedent(f"""
        import sys, time
        from mrseg_label.processes import start_child
        start_child([sys.executable, "-c", {CHILD.format(family=FAMILY)!r}, {str(ids)!r}, "0"])
        time.sleep(300)
    """)
    with subprocess.Popen([sys.executable, "-c", parent]) as running:
        wait_until(lambda: len(ids_in(ids)) == 4)
        running.send_signal(signal.SIGKILL)
    wait_until(lambda: not any_running(ids_in(ids)), 20)


def test_a_child_with_grace_may_end_by_itself(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    child = start(ids, "30", "end")
    processes.end_child(child)
    assert child.wait(20) == 0
    assert (tmp_path / "ids.term").exists()
    processes.kill_group(child.pid)  # what it left behind
    wait_until(lambda: not any_running(ids_in(ids)), 10)


def test_a_child_with_grace_is_killed_if_it_does_not_end(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    child = start(ids, "0.5", "stay")
    processes.end_child(child)
    assert child.wait(20) == -signal.SIGKILL
    assert (tmp_path / "ids.term").exists()
    wait_until(lambda: not any_running(ids_in(ids)), 10)


def test_a_session_is_killed_whole_and_gone_when_that_returns(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    # With a process group of its own in the session, and without its leader.
    command = f"set -m; {FAMILY.format(ids=ids)} & while [ $(wc -l < {ids}) -lt 3 ]; do sleep 0.05; done; exit 0"
    leader = processes.start_child(["bash", "-c", f"touch {ids}; {command}"])
    assert leader.wait(20) == 0
    assert len(ids_in(ids)) == 3
    members = set(ids_in(ids)) - {leader.pid}
    assert len(members) == 2 and set(processes.session_members(leader.pid)) >= members
    processes.kill_session(leader.pid)
    assert not any_running(ids_in(ids))
    assert processes.session_members(leader.pid) == []


def test_a_child_in_this_session_leads_a_group() -> None:
    child = processes.start_child(["sleep", "300"], own_session=False)
    assert os.getsid(child.pid) == os.getsid(0)
    assert os.getpgid(child.pid) == child.pid
    processes.kill_group(child.pid)
    assert child.wait(10) == -signal.SIGKILL
    processes.kill_group(child.pid)  # again: it has ended already


def test_children_that_ignore_ctrl_c_do_so_from_the_first_instruction() -> None:
    def start_shell() -> subprocess.Popen[bytes]:
        child = subprocess.Popen(["sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE, start_new_session=True)
        assert child.stdout is not None
        child.stdout.readline()  # it runs, and not a copy of this process any more
        return child

    with processes.children_ignore_ctrl_c():
        ignoring = start_shell()
    with ignoring, start_shell() as other:
        for child in (ignoring, other):
            child.send_signal(signal.SIGINT)
        assert other.wait(30) == -signal.SIGINT
        assert ignoring.poll() is None
        ignoring.kill()


def test_ctrl_c_takes_effect_when_the_children_were_started() -> None:
    with pytest.raises(KeyboardInterrupt), processes.children_ignore_ctrl_c():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)  # not yet


def test_start_times_tell_processes_of_one_id_apart() -> None:
    own = processes.start_time(os.getpid())
    assert own.isdigit() and own == processes.start_time(os.getpid())
    time.sleep(0.05)
    child = subprocess.Popen(["sleep", "300"])
    assert int(processes.start_time(child.pid)) > int(own)
    child.kill()
    wait_until(lambda: processes.start_time(child.pid) == "")  # ended, though nobody has waited for it yet
    child.wait()
    assert processes.start_time(child.pid) == ""


@pytest.mark.skipif(os.uname().machine not in EXIT_OF_A_THREAD, reason="the number of the system call is not known")
def test_a_process_runs_until_its_last_thread_has_ended() -> None:
    number = EXIT_OF_A_THREAD[os.uname().machine]
    code = f"""
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(300,)).start()
ctypes.CDLL(None).syscall({number}, 0)
"""
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    stat = Path(f"/proc/{child.pid}/stat")
    wait_until(lambda: ") Z " in stat.read_text())  # its first thread has ended
    assert processes.start_time(child.pid) != ""
    assert processes.session_members(child.pid) == [child.pid]
    processes.kill_session(child.pid)
    assert child.wait(0.1) == -signal.SIGKILL  # at once: nothing of it is left


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_module_that_runs_with_its_parent_ends_by_signals_too(signal_number: signal.Signals) -> None:
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"  # ignored in background jobs
    code += "sys.argv = ['x', 'http.server', '0', '--bind', '127.0.0.1'];"
    code += "from mrseg_label.simulation.with_parent import main; print('started', flush=True); main()"
    child = processes.start_child([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"started\n"
    time.sleep(0.5)
    child.send_signal(signal_number)
    assert child.wait(20) in (0, -signal_number)
    processes.end_child(child)
    child.stdout.close()
