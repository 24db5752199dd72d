"""The part of Patroni's configuration that only the machine knows: its memory, and the passwords. And the check of the whole."""
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile

import certificates
import huge_pages
import yaml
from node import ETC, FACTS, Refused, member_password, postgresql_conf

MACHINE = "10-machine.yml"
PUSHED = ("20-access.yml", "50-member.yml")


def memory_mib():
    if FACTS["memoryMiB"]:
        return FACTS["memoryMiB"]
    return memory_info()["MemTotal"] // 1024


def memory_info():
    """Of the kernel, in KiB."""
    with open("/proc/meminfo") as file:
        return {name: int(number) for name, number in re.findall(r"^(\w+):\s+(\d+)", file.read(), re.M)}


def tuning(memory):
    """A quarter of the memory for PostgreSQL's own buffers, the rest is the system's, which holds the same files."""
    return {
        "shared_buffers": f"{max(16, memory // 4)}MB",
        "effective_cache_size": f"{max(32, memory * 3 // 4)}MB",
        "maintenance_work_mem": f"{min(2048, max(16, memory // 16))}MB",
    }


def read(name):
    with open(os.path.join(ETC, name)) as file:
        return file.read()


def tags():
    """What this member is for, in Patroni's words."""
    return yaml.safe_load(read("50-member.yml")).get("tags", {})


def machine_part():
    own = tuning(memory_mib())
    # what a running server shows of it: it has read exactly this
    seen = [*(read(name) for name in PUSHED), json.dumps(own), *certificates.parts()]
    mark = hashlib.sha256("\n".join(seen).encode()).hexdigest()[:16]
    password = {"password": member_password()}
    # Patroni reads a certificate again where its options are others: the key has no password, so any will do
    known = {"keyfile_password": mark} if certificates.TLS and certificates.TLS["rest"] else {}
    return {
        "restapi": {"authentication": password, **known},
        "postgresql": {
            "authentication": {"replication": dict(password), "rewind": dict(password)},
            "parameters": {**own, "cdktf_ha.configuration": mark},
        },
    }


def fingerprint():
    with open(os.path.join(ETC, MACHINE)) as file:
        return yaml.safe_load(file)["postgresql"]["parameters"]["cdktf_ha.configuration"]


def render(directory=ETC):
    certificates.take_care()
    path = os.path.join(directory, MACHINE)
    text = "# Managed by cdktf-ha-clusters, made on this machine.\n" + json.dumps(machine_part(), indent=2)
    if os.path.exists(path):
        with open(path) as file:
            if file.read() == text:
                return  # also where the disk is full: the member has to start
    with open(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    shutil.chown(f"{path}.new", "root", "postgres")
    os.chmod(f"{path}.new", 0o640)
    os.replace(f"{path}.new", path)


def check():
    check_commitments()
    check_memory()
    with tempfile.TemporaryDirectory(prefix="cdktf-ha-patroni-") as directory:
        render(directory)
        for name in PUSHED:
            shutil.copy(os.path.join(ETC, name), directory)
        check_patroni(directory)
    check_parameters(parameters())


def parameters():
    """Of the code, and of this machine's size."""
    own = yaml.safe_load(read("50-member.yml"))
    shared = own["bootstrap"]["dcs"]["postgresql"]["parameters"]
    return {**tuning(memory_mib()), **shared, **own["postgresql"]["parameters"]}


def check_memory():
    wanted = str(yaml.safe_load(read("50-member.yml"))["postgresql"]["parameters"].get("shared_buffers", ""))
    size = re.fullmatch(r"(\d+)(kB|MB|GB|TB)?", wanted)
    if not size:
        return
    mib = int(size.group(1)) * {None: 2**-7, "kB": 2**-10, "MB": 1, "GB": 2**10, "TB": 2**20}[size.group(2)]
    memory = memory_info()["MemTotal"] // 1024
    if mib > memory * 0.8:
        raise Refused(f"shared_buffers = {wanted} does not fit into this machine's {memory} MiB: connections and files need the rest")


def check_commitments():
    """A kernel that has promised more than it may from now on refuses everybody, the next apply too."""
    if FACTS["overcommit"] != "strict":
        return
    known = memory_info()
    pages = known.get("Hugetlb", 0)
    if FACTS["hugePages"]:
        pages = max(pages, huge_pages.needed(parameters()) * known["Hugepagesize"])
    limit = (known["MemTotal"] - pages) * 9 // 10 + known["SwapTotal"]
    if known["Committed_AS"] > limit:
        raise Refused(
            f"overcommit = strict would leave {limit // 1024} MiB to promise, and {known['Committed_AS'] // 1024} are promised already: give this machine swap or memory"
        )


def check_patroni(directory):
    """Patroni's own validator. Patroni 3 takes a port that its own running self listens on for somebody else's."""
    import patroni.config
    import patroni.validator as validator
    from patroni.utils import split_host_port

    def looks_right(host_port, listen=False, multiple_hosts=False):
        split_host_port(host_port, None)
        return True

    validator.validate_host_port = looks_right
    problems = []
    validator.schema.data = None
    config = patroni.config.Config(directory, validator=lambda data: problems.extend(validator.schema(data) or []))
    if not config["name"] or problems:
        raise Refused("\n".join(problems))


def check_parameters(wanted):
    """PostgreSQL's own parser: names, values and units of this version."""
    with tempfile.TemporaryDirectory(prefix="cdktf-ha-postgres-") as directory:
        with open(os.path.join(directory, "postgresql.conf"), "w") as file:
            file.write(postgresql_conf(wanted))
        for path in (directory, os.path.join(directory, "postgresql.conf")):
            shutil.chown(path, "postgres", "postgres")
        postgres = os.path.join(FACTS["binDirectory"], "postgres")
        done = subprocess.run(
            ["runuser", "--user", "postgres", "--", postgres, "-D", directory, "-C", "max_connections"],
            capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
        if done.returncode:
            raise Refused("\n".join(re.sub(r"^.*?(LOG|FATAL|ERROR): +", "", line) for line in done.stderr.strip().splitlines()))
