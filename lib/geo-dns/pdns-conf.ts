export interface PdnsModel {
  readonly machine: string;
  /** Where it answers. */
  readonly address: string;
  /** In PowerDNS's own form. */
  readonly database?: string;
  readonly zonesFile: string;
  readonly keyDirectory?: string;
}

/** pdns.conf of an authoritative server with the geoip backend, and nothing else. Pure. */
export function renderPdnsConf({ machine, address, database, zonesFile, keyDirectory }: PdnsModel): string {
  return `# Managed by cdktf-ha-clusters: PowerDNS of ${machine}.
launch=geoip
geoip-zones-file=${zonesFile}
geoip-database-files=${database ?? ""}
${keyDirectory === undefined ? "" : `geoip-dnssec-keydir=${keyDirectory}\n`}
# the resolver says for whom it asks (RFC 7871)
edns-subnet-processing=yes

# not on every address: a resolver of the machine's own may listen on another one
local-address=${address}, 127.0.0.1
local-port=53
max-tcp-connections=256
any-to-tcp=yes

# The answers are in memory already. Kept answers would outlive a region that is gone, and be given to other countries.
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0

# nothing for anybody but an answer to the question
api=no
webserver=no
disable-axfr=yes
dnsupdate=no
primary=no
secondary=no
version-string=anonymous
server-id=disabled
security-poll-suffix=
loglevel=4
`;
}
