# ALLOCATION, INTERFACE and ADDRESS stand above.
associate=(associate-address --allocation-id "$ALLOCATION" --network-interface-id "$INTERFACE" --allow-reassociation)
case $1 in
  try) may "${associate[@]}" --dry-run && exit ;;
  verify) [[ $(metadata public-ipv4 || true) != "$ADDRESS" ]] || exit 0 ;;
esac
ec2 "${associate[@]}" >/dev/null
echo "elastic address $ADDRESS is here"
