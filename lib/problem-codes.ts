/** Every code a problem can have, with its reason. The same list, by topic, is docs/problems.md (a test compares them). */
export const PROBLEM_CODES = {
  // any construct
  "concrete-value-needed":
    "Machines, zones and names decide which resources there are, so they cannot wait for Terraform.",
  "unknown-setting": "Nothing reads a setting of this name.",
  "wrong-kind": "The setting takes another kind of value.",
  "bad-name": "Names become file names, unit names and words of config files.",
  "duplicate-name": "A name stands for one thing; the second would take the first one's place.",
  "number-out-of-range": "The daemon or the protocol has no such value.",
  "no-nodes": "A cluster without machines has nowhere to run.",
  "unknown-node": "The cluster has no node of this name.",
  // platforms
  "unknown-host": "The SSH platform has no host of this name.",
  "duplicate-address": "Two names for one machine: each would take the other's services for its own.",
  "unknown-zone": "The platform has no subnet in this zone.",
  "zone-needed": "The platform has several zones and cannot guess which one is meant.",
  "bad-address": "This is no IP address or host name.",
  "no-admins": "Without a declared admin nobody could reach the machines by SSH once the firewall is up.",
  "ssh-access-unclear": "A machine is reached with exactly one kind of key.",
  "bad-key": "A key and the path of its file are two things.",
  "removal-needs-key":
    "Terraform can run nothing on a machine that has left the code with a key from a variable.",
  "subnet-outside-vpc": "Machines and groups of different VPCs cannot refer to each other.",
  "wrong-architecture": "The processor cannot run the image's programs.",
  "image-not-fixed":
    "A node that has an image of its own would be replaced whenever a newer one is published.",
  "all-at-once": "Nodes change one after the other, or nobody serves meanwhile.",
  "placement-kept": "EC2 moves no instance out of its placement group, and keeps a group that is not empty.",
  "over-limit": "AWS refuses more than its limit in the middle of an apply.",
  "one-zone": "A zone that fails takes every node with it.",
  "no-host-firewall": "Without the host's firewall every port a daemon opens is open to everybody.",
  // push
  "bad-text": "Terraform and the machine's shell cannot carry this text.",
  "bad-path": "The file could not be put there safely.",
  "unknown-secret": "The text names a secret that the service does not have.",
  "duplicate-file": "Two services of one machine would write the same file in turn.",
  "duplicate-service": "Two services of one machine have the same name.",
  "empty-rollout": "There is nothing to roll out.",
  // firewall
  "bad-cidr": "This is no network in CIDR notation.",
  "port-out-of-range": "TCP and UDP ports are 1 to 65535.",
  "unknown-port": "The service has no port of this name.",
  "nobody-admitted": "A port that is closed to everybody serves nobody.",
  // secrets
  "no-instance-role": "Outside of EC2 no machine has rights at AWS by itself.",
  "bad-arn": "AWS knows nothing by this name, or a policy cannot name it so.",
  // virtual IP
  "virtual-ip-outside-subnet": "Machines of another subnet would never ask for the address on this segment.",
  "no-virtual-ip": "Without an address there is nothing that could move.",
  "virtual-ip-prefix":
    "A machine would take a network of another size for its own, and its neighbours for far away or for near.",
  "virtual-ip-is-a-node": "Two machines would answer for one address all the time.",
  "virtual-ip-inside-vpc": "The VPC's own route to the subnet wins over every other one.",
  "virtual-ip-mode": "This way of moving an address does not work where these machines are.",
  "virtual-router-id-clash": "Two groups with one id on one segment take each other's adverts for their own.",
  "virtual-ip-taken": "Two groups would fight for one address.",
  "too-few-nodes": "There is nobody to take the address over.",
  // load balancer
  "no-listener": "Nobody could connect.",
  "listener-clash": "Two listeners cannot have one port of one address.",
  "no-servers": "A backend without servers answers every request with 503.",
  "cookie-needs-http": "A cookie is a header of HTTP; a TCP stream has none.",
  "http-only": "This setting reads or writes HTTP, which a TCP listener passes on unread.",
  "tls-without-certificate": "TLS cannot be terminated without a certificate and its key.",
  "bad-check": "HAProxy could not ask or understand this.",
  "unknown-server": "The backend has no server of this name.",
  "mode-mismatch": "A listener and its backends speak the same protocol.",
  "foreign-backend":
    "A backend stands in the file of the pair that it was made for, whose nodes its servers let in.",
  "server-id-clash": "Two server names of one backend have the same stable id.",
  "conflicting-setting": "Two settings contradict each other.",
  // Cassandra
  "java-mismatch": "This release of Cassandra does not run on this Java.",
  "checksum-needed": "Software that nobody compared with its project's own checksum is not run.",
  "unknown-datacenter": "The ring has no datacenter of this name.",
  "unknown-keyspace": "The ring declares no keyspace of this name.",
  "unknown-seed": "A seed is a node of its own datacenter.",
  "replication-above-nodes":
    "There are not that many nodes: writes at ALL, and repairs, could never succeed.",
  "one-copy": "With one copy, the rows of a node that is down cannot be read.",
  "even-replication": "An even number of copies survives no more failures at quorum than one copy less.",
  "uneven-zones": "Zones of different size hold different shares of the data.",
  "thrift-is-gone": "Cassandra 4.0 has no Thrift.",
  "repair-too-rare": "Rows that were deleted come back where a copy was not told within gc_grace, ten days.",
  "heap-too-large": "The machine has not that much memory.",
  "secret-not-shared": "All nodes need the same value, and this secret has another one on each machine.",
  // etcd
  "even-etcd": "An even number of votes survives no more failures than one vote less.",
  "quorum-in-one-zone": "The zone that has most of the votes takes the quorum with it.",
  // PostgreSQL
  "timers-break-rule": "A primary could lose its lock while it still tries to renew it.",
  "no-standby": "A commit cannot wait for a member that is not there.",
  "one-member": "While the only member is away nobody serves, and there is no copy.",
  "two-members": "While one of two is away, commits have no copy.",
  "one-etcd": "Without its only member of etcd nobody takes over.",
  "patroni-owns": "Patroni or the set decides this parameter, and would overwrite it.",
  "too-few-slots": "Each other member takes a connection and a slot; the last one would get none.",
  "unknown-role": "The set has no role of this name.",
  "unknown-database": "The set has no database of this name.",
  "memory-above-machine": "The machine has not that much memory.",
  "no-credentials": "Nobody would let the machine write into the bucket.",
  "no-region": "Requests to a bucket are signed for its region.",
  "bad-moment": "A moment without its zone is another one on each machine.",
  "same-name": "A copy would take its original's place.",
  "not-durable": "What was acknowledged could be lost with one machine.",
  "only-by-balancer": "Which replica has every commit is told by Patroni, and libpq does not ask it.",
  "volume-not-mounted": "The data would not be on the volume, but on the disk that goes with the machine.",
  // caching proxies
  "open-proxy": "A proxy that fetches whatever it is told to is used by everybody for anything.",
  "no-default-pool": "A request that no pool is for has nowhere to go.",
  "one-certificate": "Squid with OpenSSL shows one certificate on an address, whatever name is asked for.",
  "origin-is-a-proxy": "A request would go round from proxy to proxy until one of them gives up.",
  "cache-too-large": "A full volume stops Squid, and memory that is not there stops the machine.",
  "array-too-small": "What one node of a pair keeps, the other one would have lost with it.",
  "far-siblings": "What no cache has is asked of every sibling first, the farthest one included.",
  // geographic DNS
  "no-default-region": "Visitors from places that nobody named would get no address.",
  "unknown-region": "The tier has no region of this name, or nobody would ever be sent to it.",
  "place-twice": "A visitor is sent to one region.",
  "one-routing-policy": "Route 53 takes records of one policy for a name.",
  "no-database": "Name servers that know no countries would send everybody to the default region.",
  "no-names": "Name servers that know no name refuse every question.",
  "lone-name-server": "A name whose only name server is gone leads nowhere.",
  "no-public-address": "Resolvers of the Internet reach no private address.",
  "uneven-families":
    "A visitor whose region has no address of a family gets one of a farther region, or none.",
  "key-of-another-name":
    "PowerDNS finds a name's keys by the beginning of their file names, so it would sign with those of another one.",
} as const;

/** Stable code of a problem, safe to match on. */
export type ProblemCode = keyof typeof PROBLEM_CODES;
