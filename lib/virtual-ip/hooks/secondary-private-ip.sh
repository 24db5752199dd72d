# INTERFACE and ADDRESS stand above.
if [[ $1 == try ]]; then
  # This call knows no dry run: asked for the interface's own address, and not to take it from anybody, it changes nothing.
  may assign-private-ip-addresses --network-interface-id "$INTERFACE" --private-ip-addresses "$(metadata local-ipv4)"
  exit
fi
if [[ $1 == verify ]]; then
  mac=$(metadata mac)
  ! metadata "network/interfaces/macs/$mac/local-ipv4s" | grep -xF "$ADDRESS" >/dev/null || exit 0
fi
ec2 assign-private-ip-addresses --network-interface-id "$INTERFACE" --private-ip-addresses "$ADDRESS" --allow-reassignment >/dev/null
echo "private address $ADDRESS is here"
