#!/bin/bash
# What only the machine can say: secrets, and facts such as the name of its network interface. A placeholder in a file's
# text is @@HA:KEY@@ with the key secret:NAME, quotable:NAME (a secret that stands between single quotes) or fact:NAME.

# ha_fill DIR SOURCE TARGET
ha_fill() {
  local dir=$1 source=$2 target=$3 rest filled='' key
  rest=$(cat "$source" && printf x) # x: command substitution eats trailing newlines
  rest=${rest%x}
  while [[ $rest == *'@@HA:'* ]]; do
    filled+=${rest%%'@@HA:'*}
    rest=${rest#*'@@HA:'}
    key=${rest%%'@@'*}
    rest=${rest#*'@@'}
    ha_value "$dir" "$key" || return 1
    filled+=$HA_VALUE
  done
  printf '%s' "$filled$rest" >"$target" # a builtin: the text is in no process list
}

# ha_value DIR KEY: into HA_VALUE
ha_value() {
  local dir=$1 kind=${2%%:*} name=${2#*:}
  case $kind in
    secret | quotable)
      HA_VALUE=$(cat "$dir/secrets/$name" && printf x) || ha_die "secret $name was not given"
      HA_VALUE=${HA_VALUE%x}
      if [[ $kind == quotable && $HA_VALUE == *[\'[:cntrl:]]* ]]; then
        ha_die "secret $name holds a single quote or a control character, which cannot stand where it is used"
      fi
      ;;
    fact) HA_VALUE=$(ha_fact "$dir" "$name") || return 1 ;;
    *) ha_die "unknown placeholder @@HA:$2@@" ;;
  esac
}

ha_fact() {
  local address
  case $2 in
    bundle) ha_setting "$1" fingerprint ;;
    interface) # the one that holds this machine's address
      address=$(ha_setting "$1" address)
      ip -oneline address show | awk -v address="$address" '{ split($4, a, "/"); if (a[1] == address) { print $2; found = 1; exit } }
        END { exit !found }' || ha_die "no network interface of this machine holds $address; it has: $(hostname -I)"
      ;;
    *) ha_die "unknown fact $2" ;;
  esac
}

# ha_gather_secrets DIR UPLOADED: each secret of the bundle into DIR/secrets, by the list control/secrets:
# NAME KIND ARGUMENTS..., parted by tabs
ha_gather_secrets() {
  local dir=$1 uploaded=$2 name kind a b c
  mkdir -p "$dir/secrets"
  while IFS=$'\037' read -r name kind a b c; do
    case $kind in
      uploaded) ha_secret_uploaded "$uploaded" "$name" >"$dir/secrets/$name" ;;
      generated) ha_secret_generated "$a" "$b" >"$dir/secrets/$name" ;;
      file)
        [[ -r $a ]] || ha_die "secret $name is to be read from $a on this machine, and there is no such file"
        cp "$a" "$dir/secrets/$name"
        ;;
      secrets-manager) ha_secret_aws "$name" "$b" "$c" secretsmanager get-secret-value --secret-id "$a" --query "SecretString || ''" >"$dir/secrets/$name" ;;
      parameter-store) ha_secret_aws "$name" "$b" "$c" ssm get-parameter --with-decryption --name "$a" --query Parameter.Value >"$dir/secrets/$name" ;;
      *) ha_die "unknown kind of secret: $kind" ;;
    esac || exit 1
    [[ -s $dir/secrets/$name ]] || ha_die "secret $name is empty: a password that is empty lets everybody in"
  done < <(ha_table "$dir/control/secrets")
}

# The upload has a line for each secret: NAME BASE64
ha_secret_uploaded() {
  local encoded
  encoded=$(awk -v name="$2" '$1 == name { print $2; found = 1 } END { exit !found }' "$1" 2>/dev/null) ||
    ha_die "secret $2 did not arrive with this push"
  base64 --decode <<<"$encoded"
}

# Made once on this machine, then kept: a second push must not change a password that is in use.
ha_secret_generated() { # NAME BYTES
  local kept=$HA_STATE/secrets/$1
  if [[ ! -s $kept ]]; then
    mkdir -p "$HA_STATE/secrets"
    head -c "$2" /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$kept.new"
    ha_replace "$kept.new" "$kept"
  fi
  cat "$kept"
}

# Credentials come from the instance's role. Right after the first boot the role may not be there yet, and a right that
# was just given reaches all of AWS within a minute or so, refusals until then: so this tries for two minutes, whatever
# the answer; a right that is missing shows as AWS's own words.
ha_secret_aws() { # NAME REGION KEY ARGUMENTS...
  local name=$1 region=$2 key=$3 value error pause=1 until=$((SECONDS + 120))
  shift 3
  command -v aws >/dev/null || ha_die "secret $name is read with the AWS CLI, which is not on this machine"
  [[ -n $region ]] || region=$(ha_instance_region) # version 1 of the CLI does not ask by itself
  error=$(mktemp)
  until value=$(timeout 20 aws --output text ${region:+--region "$region"} "$@" 2>"$error"); do
    if grep -q 'NotFound' "$error" || ((SECONDS + pause > until)); then
      ha_quote <"$error" >&2
      rm -f "$error"
      ha_die "secret $name could not be read: aws $1 $2"
    fi
    sleep "$pause"
    ((pause < 16)) && pause=$((pause * 2))
  done
  rm -f "$error"
  [[ -n $value ]] || ha_die "secret $name holds no text at AWS: a binary one (SecretBinary) cannot be used"
  if [[ -n $key ]]; then
    value=$(jq --exit-status --raw-output --arg key "$key" '.[$key] // empty' <<<"$value") ||
      ha_die "secret $name has no key $key, or is no JSON object"
  fi
  printf '%s' "$value"
}

# Region of this EC2 instance; nothing on other machines.
ha_instance_region() {
  local at=http://169.254.169.254/latest token
  token=$(curl -sf -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$at/api/token") || return 0
  curl -sf -m 2 -H "X-aws-ec2-metadata-token: $token" "$at/meta-data/placement/region" || true
}
