#!/bin/bash
# Is the certificate this member's, and can the cluster that lives go over to what the new files say? One step at a time.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/etcd/functions.sh
new=${ETCD_TLS:-none} old=none
if etcd_has_data && [[ -s $ETCD_TLS_STATE ]]; then old=$(<"$ETCD_TLS_STATE"); fi

check_certificate() {
  local purpose words name authority directory
  etcd_issue >/dev/null
  for purpose in sslserver sslclient; do
    words=$(openssl verify -no-CApath -no-CAstore -CAfile "$ETCD_TRUSTED" -purpose "$purpose" -untrusted "$ETCD_CERTIFICATE" "$ETCD_CERTIFICATE" 2>&1) ||
      etcd_fail "the certificate of $ETCD_MEMBER is of no authority in 'trusted', or not for what etcd does with it ($purpose): $words"
  done
  openssl x509 -in "$ETCD_CERTIFICATE" -noout -checkip "$ETCD_ADDRESS" | grep 'does match' >/dev/null ||
    etcd_fail "the certificate of $ETCD_MEMBER is not for its address $ETCD_ADDRESS, by which members ask each other"
  [[ $(openssl pkey -in "$ETCD_CERTIFICATE" -pubout) == "$(openssl x509 -in "$ETCD_CERTIFICATE" -noout -pubkey)" ]] ||
    etcd_fail "the key of $ETCD_MEMBER is not its certificate's"
  name=$(etcd_common_name "$ETCD_CERTIFICATE")
  [[ $name == "$ETCD_MEMBER" ]] || etcd_fail "the certificate of $ETCD_MEMBER is in the name of '$name': etcd would take it for another one"
  # etcd takes a name from anywhere in the chain
  directory=$(mktemp --directory)
  awk -v directory="$directory" '/BEGIN CERTIFICATE/ { number++ } { print > (directory "/" number) }' "$ETCD_TRUSTED"
  for authority in "$directory"/*; do
    name=$(etcd_common_name "$authority")
    for known in root guest "${ETCD_NODES[@]}" "${ETCD_SETS[@]}"; do
      [[ $name != "$known" ]] || etcd_fail "an authority in 'trusted' is called '$name', as one of etcd's users: whoever it has issued a certificate for would be that one"
    done
  done
  rm --recursive "$directory"
}

check_step() {
  local members peer name
  if [[ $new == "$old" ]] || ! etcd_has_data; then return 0; fi
  case $old-$new in
    none-optional) ;;
    none-required)
      etcd_fail "this cluster lives without TLS, and those who use it would be cut off: apply it as \"optional\" first, then as \"required\" ('etcd' in the set's 'tls', 'mode' of EtcdTls)"
      ;;
    optional-required)
      if ! etcd_is_running || ! etcd_answers "$ETCD_ADDRESS"; then return 0; fi # the activation asks for all of them
      members=$(etcd_members "$ETCD_ADDRESS")
      while read -r _ _ name peer _; do
        [[ $peer == https://* ]] || etcd_fail "the members of etcd still speak plainly to $name: apply it as \"optional\" once more, with every member up"
      done <<<"$members"
      ;;
    *)
      etcd_fail "this cluster lives with TLS ($old), and does not go back to $new: those who use it would be cut off"
      ;;
  esac
}

if [[ $new != none ]]; then
  # shellcheck source=tls.sh
  . /usr/local/lib/cdktf-ha/etcd/tls.sh
  check_certificate
fi
check_step
