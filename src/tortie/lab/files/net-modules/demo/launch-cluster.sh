#!/bin/bash
# The lab's hosts are the cluster: waits until its agents have come to the master and Marathon answers.
set -euo pipefail
mesos=${MESOS_URL:-http://localhost:5050} marathon=${MARATHON_URL:-http://localhost:8080}
echo 'Launching the cluster'
for _ in $(seq 1 600); do
    agents=$(curl -sS "$mesos/metrics/snapshot" | grep -o '"master/slaves_active":[0-9]*' | cut -d: -f2 || true)
    if [ "${agents:-0}" -ge 2 ] && curl -sS --fail -o /dev/null "$marathon/v2/info"; then
        echo "$agents agents"
        echo Done.
        exit 0
    fi
    sleep 0.2
done
echo 'the cluster does not come up: see `tortie status`' >&2
exit 1
