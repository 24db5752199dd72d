import { refuse } from "../problem";
import { checkCertificate } from "../secret/certificate";
import type { PostgresReplicaSet } from "./postgres-replica-set";

/** Who the set is to etcd: said once, by what only the set has. */
export function checkEtcdTls(set: PostgresReplicaSet): void {
  const { etcd, tls, props } = set;
  const { etcdCertificate } = props;
  if (etcdCertificate) checkCertificate(set, etcdCertificate);
  if (props.etcd && tls?.saysEtcd) {
    refuse(set, {
      code: "conflicting-setting",
      what: "'tls' says 'etcd', and the set uses an EtcdCluster",
      allowed: "TLS of an etcd that is shared is the EtcdCluster's",
      fix: "take 'etcd' out of 'tls', and give the EtcdCluster a 'tls'",
    });
  }
  if (etcdCertificate && (!etcd.tls || (!props.etcd && tls?.authority))) {
    refuse(set, {
      code: "conflicting-setting",
      what: etcd.tls
        ? "'etcdCertificate', and members that issue themselves one"
        : "'etcdCertificate' for an etcd without TLS",
      allowed: "a certificate where etcd speaks TLS, and where no authority of the members issues one",
      fix: "leave 'etcdCertificate' out",
    });
  }
  if (!etcd.tls || etcdCertificate || (!props.etcd && tls?.authority)) return;
  refuse(set, {
    code: "tls-without-certificate",
    what: `etcd speaks TLS, and the set has nothing to show that it is '${set.name}'`,
    allowed: `a certificate in the name '${set.name}' that etcd trusts`,
    fix: props.etcd
      ? "etcdCertificate: Secret..."
      : 'etcdCertificate: Secret..., or PostgresTls.given(..., { etcd: "none" })',
  });
}
