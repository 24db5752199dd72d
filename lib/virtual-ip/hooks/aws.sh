# Common to AWS's claims. No credentials are written down: they come from the instance's role.
set -euo pipefail
# vrrp-claim tries again, with longer pauses, and tells of each failure.
export AWS_MAX_ATTEMPTS=1 AWS_EC2_METADATA_SERVICE_NUM_ATTEMPTS=2

metadata() {
  local token
  token=$(curl -sf -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)
  curl -sf -m 2 -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"
}

AWS_DEFAULT_REGION=$(metadata placement/region)
export AWS_DEFAULT_REGION
ec2() { aws ec2 "$@" --output text --cli-connect-timeout 2 --cli-read-timeout 5; }

# A call that is only tried: AWS refuses it in the end either way, and its words tell whether the right was there.
may() {
  local words
  words=$(ec2 "$@" 2>&1) || case $words in
    *DryRunOperation* | *InvalidParameterValue*) ;;
    *) echo "$words" && exit 1 ;;
  esac
}
