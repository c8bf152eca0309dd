#!/bin/bash
# Takes every group of the demo away. The hosts are the lab's: `tortie down` outside of it ends them.
set -euo pipefail
cd "$(dirname "$0")"
echo 'Stopping the cluster'
for which in -before '' -isolated; do
    "./stop-probes$which.sh" >/dev/null
done
echo Done.
