"""A Ray cluster of two nodes on this machine, in a process of its own.

Prints its address and, for each node, the process of its raylet; ends when its standard input does.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_memory_usage_threshold"] = "1"  # noqa: SIM112 - others fill this machine too

from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "node_ip_address": "127.0.0.2"}


def main() -> None:
    place = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # sockets have short paths
    cluster = Cluster()
    try:
        head = {"include_dashboard": False, "temp_dir": place}
        nodes = [cluster.add_node(**NODE, **head), cluster.add_node(**NODE)]
        cluster.wait_for_nodes()
        raylets = [process.pid for node in nodes for process in processes(node)]
        print(cluster.address, *raylets, flush=True)
        sys.stdin.read()
    finally:
        cluster.shutdown()
        shutil.rmtree(place, ignore_errors=True)


def processes(node):
    (raylet,) = node.all_processes["raylet"]
    return [raylet.process]


if __name__ == "__main__":
    main()
