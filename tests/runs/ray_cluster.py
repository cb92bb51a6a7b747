"""A Ray cluster of two nodes on this machine, in a process of its own: prints its address, ends when its input does."""

from __future__ import annotations

import os
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from ray.cluster_utils import Cluster

NODE = {
    "num_cpus": 1,
    "object_store_memory": 80 * 2**20,
    "include_dashboard": False,
    "node_ip_address": "127.0.0.1",
}

if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    second = cluster.add_node(**{key: value for key, value in NODE.items() if key != "include_dashboard"})
    cluster.wait_for_nodes()
    processes = [process.pid for process in second.live_processes_pids()] if False else []
    print(cluster.address, flush=True)
    for line in sys.stdin:
        if line.strip() == "kill the second node":
            cluster.remove_node(second, allow_graceful=False)
            print("killed", flush=True)
    cluster.shutdown()
