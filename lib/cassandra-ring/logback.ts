/** Everything to standard output, which is the journal: it adds the time itself. Pure. */
export function renderLogback(levels: Readonly<Record<string, string>>): string {
  const loggers = Object.entries(levels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, level]) => `  <logger name="${name}" level="${level}"/>\n`)
    .join("");
  return `<!-- Managed by cdktf-ha-clusters. -->
<configuration scan="true" scanPeriod="60 seconds">
  <shutdownHook class="ch.qos.logback.core.hook.DelayingShutdownHook"/>
  <appender name="JOURNAL" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level [%thread] %F:%L - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="JOURNAL"/></root>
${loggers}</configuration>
`;
}
