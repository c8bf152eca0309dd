#!/bin/bash
# Takes the group /star-iso away, even while its deployment hangs, and waits until it is gone.
set -euo pipefail
marathon=${MARATHON_URL:-http://localhost:8080}
echo "Stopping group 'star-iso'"
curl -sS -X DELETE "$marathon/v2/groups/star-iso?force=true"
echo
for _ in $(seq 1 600); do
    code=$(curl -sS -o /dev/null -w '%{http_code}' "$marathon/v2/groups/star-iso")
    [ "$code" = 404 ] && echo Done. && exit 0
    sleep 0.2
done
echo "group /star-iso is still there" >&2
exit 1
