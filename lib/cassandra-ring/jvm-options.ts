import { CassandraVersion } from "./cassandra-version";

export interface JvmModel {
  readonly version: CassandraVersion;
  /** Further options, one each, after ours: the last one of a name counts. */
  readonly extra: readonly string[];
}

/**
 * The options that do not depend on the machine, one a line. The heap is the machine's (on-machine/start.sh), and so is
 * what its Java needs: lines after `[11]` hold for Java 11 and later only, lines after `[8]` for Java 8 only. Pure.
 */
export function renderJvmOptions({ version, extra }: JvmModel): string {
  const always = [
    "-ea",
    "-da:net.openhft...",
    "-XX:+UseThreadPriorities",
    "-XX:+HeapDumpOnOutOfMemoryError",
    // a node that is out of memory serves nobody: systemd starts it anew
    "-XX:+ExitOnOutOfMemoryError",
    `-Xss${version.atLeast(CassandraVersion.V5_0) ? "512k" : "256k"}`,
    "-XX:+AlwaysPreTouch",
    "-XX:+UseTLAB",
    "-XX:+ResizeTLAB",
    "-XX:+UseNUMA",
    "-XX:+PerfDisableSharedMem",
    "-XX:+UseG1GC",
    "-XX:+ParallelRefProcEnabled",
    "-XX:MaxTenuringThreshold=1",
    "-XX:MaxGCPauseMillis=300",
    "-XX:InitiatingHeapOccupancyPercent=70",
    "-XX:G1RSetUpdatingPauseTimePercent=5",
    "-Dcom.sun.management.jmxremote.authenticate=false",
    "-Dcassandra.jmx.local.port=7199",
    "-Djava.net.preferIPv4Stack=true",
  ];
  const modules = [
    "-Djdk.attach.allowAttachSelf=true",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dio.netty.allocator.useCacheForAllThreads=true",
    "-Dio.netty.allocator.maxOrder=11",
    ...EXPORTS.map((name) => `--add-exports=${name}=ALL-UNNAMED`),
    ...OPENS.map((name) => `--add-opens=${name}=ALL-UNNAMED`),
  ];
  return [
    "# Managed by cdktf-ha-clusters: one option a line.",
    ...always,
    "[8]",
    "-XX:ThreadPriorityPolicy=42",
    "[11]",
    ...modules,
    "[all]",
    ...extra,
    "",
  ].join("\n");
}

/** Insides of Java that Cassandra and its libraries reach into; a Java that lacks one of them says so and goes on. */
const EXPORTS = [
  "java.base/jdk.internal.misc",
  "java.base/jdk.internal.ref",
  "java.base/java.lang.ref",
  "java.base/sun.nio.ch",
  "java.management.rmi/com.sun.jmx.remote.internal.rmi",
  "java.rmi/sun.rmi.registry",
  "java.rmi/sun.rmi.server",
  "java.sql/java.sql",
  "jdk.attach/sun.tools.attach",
  "jdk.compiler/com.sun.tools.javac.file",
  "jdk.unsupported/sun.misc",
];
const OPENS = [
  "java.base/java.io",
  "java.base/java.lang",
  "java.base/java.lang.module",
  "java.base/java.lang.reflect",
  "java.base/java.nio",
  "java.base/java.util",
  "java.base/jdk.internal.loader",
  "java.base/jdk.internal.math",
  "java.base/jdk.internal.module",
  "java.base/jdk.internal.ref",
  "java.base/jdk.internal.reflect",
  "java.base/jdk.internal.util.jar",
  "java.base/sun.nio.ch",
  "jdk.compiler/com.sun.tools.javac",
  "jdk.management/com.sun.management.internal",
];
