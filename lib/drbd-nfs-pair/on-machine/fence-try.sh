# INSTANCE, the other node's, stands above. Status 0: it could be stopped and started from here.
for call in stop-instances start-instances; do
  may "$call" --instance-ids "$INSTANCE" --dry-run
done
