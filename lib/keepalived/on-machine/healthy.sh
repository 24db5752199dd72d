# Every instance has found its place: MASTER or BACKUP. FAULT means this node could not take over; where the address follows
# somebody else's choice, that is the place of all who are not chosen.
systemctl is-active keepalived
while read -r name follows; do
  state=$(cat "/run/cdktf-ha-vrrp/$name" 2>/dev/null || echo 'no state yet')
  echo "$name is $state"
  [[ $state == MASTER || $state == BACKUP || ($state == FAULT && -n $follows) ]]
done </etc/keepalived/cdktf-ha-instances
# This node has the rights to take the addresses over: else that would show in the night when it has to.
for claim in /usr/local/lib/cdktf-ha/vrrp-claims/*; do
  [[ ! -x $claim ]] || runuser --user=keepalived_script -- timeout 30 "$claim" try || {
    sleep 2 # a right that was just given takes up to a minute, and each question a second of a processor
    exit 1
  }
done
