import java.io.File;
import java.net.URL;
import org.apache.cassandra.config.Config;
import org.apache.cassandra.config.YamlConfigurationLoader;

/** Reads each configuration by the release's own loader, which refuses what it does not know, and says what it read. */
public class Load {
    public static void main(String[] files) throws Exception {
        for (String file : files) {
            URL url = new File(file).toURI().toURL();
            System.setProperty("cassandra.config", url.toString());
            Config config = new YamlConfigurationLoader().loadConfig(url);
            System.out.println(file + ": " + config.cluster_name + ", " + config.num_tokens + " tokens, snitch " + config.endpoint_snitch);
        }
    }
}
