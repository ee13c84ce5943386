#!/bin/sh
# Runs proofmill as the unit's user, over its folders and with its settings, while the unit is stopped:
#   sudo ./run-as-node.sh doctor --enable-poc --callback-url http://aggregator:9000/pow
exec systemd-run --pty --wait --collect --quiet \
  --property=User=proofmill --property=DynamicUser=yes \
  --property=StateDirectory=proofmill --property=StateDirectoryMode=0700 \
  --property=CacheDirectory=proofmill --property=CacheDirectoryMode=0700 \
  --property=LimitNOFILE=65536 --property=UMask=0077 \
  --property=EnvironmentFile=/etc/proofmill/proofmill.env \
  --setenv=PROOFMILL_DATA_DIR=/var/lib/proofmill \
  --setenv=HF_HOME=/var/cache/proofmill --setenv=HOME=/var/cache/proofmill \
  /opt/proofmill/proofmill "$@"
