#!/bin/bash
# Sends the group /star-iso to Marathon.
set -euo pipefail
cd "$(dirname "$0")"
echo "Launching group 'stars'"
curl -sS --fail-with-body -X PUT -H 'Content-Type: application/json' \
    "${MARATHON_URL:-http://localhost:8080}/v2/groups/star-iso?force=true" -d @star-iso.json
echo
echo Done.
