/** cassandra-rackdc.properties: where the node says it is. Pure. */
export function renderRackdc({
  datacenter,
  rack,
}: {
  readonly datacenter: string;
  readonly rack: string;
}): string {
  return `# Managed by cdktf-ha-clusters. A node that has joined never changes these.\ndc=${datacenter}\nrack=${rack}\nprefer_local=true\n`;
}
