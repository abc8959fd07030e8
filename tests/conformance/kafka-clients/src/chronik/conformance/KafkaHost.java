package chronik.conformance;

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import kafka.server.KafkaConfig;
import kafka.server.KafkaRaftServer;
import kafka.tools.StorageTool;
import org.apache.kafka.common.utils.Time;

/**
 * A process that holds one Apache Kafka at a time and starts and stops it as it is told on standard input, a line for each command,
 * with one line of answer: a machine that is warm starts the next broker in a fraction of the time of a new one.
 */
public final class KafkaHost {
    private static final String CLUSTER_ID = "Y2hyb25pay1yZWZlcmVuYw";
    /** A machine that has had this many brokers gives way to a new one. */
    private static final int STARTS_MAX = 60;

    private static Process process;
    private static int starts;

    private KafkaHost() {
    }

    /** The test's side: gives one command and waits until it is done. The process is started with the first command. */
    static synchronized void tell(String... command) {
        try {
            if (command[0].equals("format") && ++starts > STARTS_MAX && process != null) {
                process.destroy();
                process.waitFor(10, TimeUnit.SECONDS);
                process = null;
            }
            if (process == null || !process.isAlive()) {
                process = launch();
                starts = 1;
            }
            process.outputWriter().write(String.join("\t", command) + "\n");
            process.outputWriter().flush();
            String answer = process.inputReader().readLine();
            if (!"done".equals(answer)) {
                throw new IllegalStateException(String.join(" ", command) + ": " + answer);
            }
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static Process launch() throws IOException {
        List<String> command = new ArrayList<>(List.of(
            "java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx768m",
            "-Dlog4j2.configurationFile=" + System.getProperty("log4j2.configurationFile"),
            "-cp", System.getProperty("conformance.kafka.path"), KafkaHost.class.getName()
        ));
        Path log = Path.of(System.getProperty("conformance.directory"), "kafka.log");
        return new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.appendTo(log.toFile())).start();
    }

    /** The broker's side. Ends with its input. */
    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err);
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        KafkaRaftServer server = null;
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] command = line.split("\t");
            try {
                switch (command[0]) {
                    case "format" -> format(command);
                    case "start" -> {
                        server = new KafkaRaftServer(KafkaConfig.fromProps(properties(command[1])), Time.SYSTEM);
                        server.startup();
                    }
                    case "stop" -> {
                        server.shutdown();
                        server.awaitShutdown();
                        server = null;
                    }
                    default -> throw new IllegalArgumentException(line);
                }
                answers.println("done");
            } catch (Throwable e) {
                e.printStackTrace();
                answers.println(String.valueOf(e).replace('\n', ' '));
            }
            answers.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    private static Properties properties(String path) throws IOException {
        Properties properties = new Properties();
        try (var in = Files.newBufferedReader(Path.of(path))) {
            properties.load(in);
        }
        return properties;
    }

    private static void format(String[] command) {
        List<String> arguments = new ArrayList<>(List.of("format", "-t", CLUSTER_ID, "-c", command[1], "--release-version", command[2]));
        if (!command[3].equals("-")) {
            for (String feature : command[3].split(",")) {
                arguments.addAll(List.of("--feature", feature));
            }
        }
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        int code = StorageTool.execute(arguments.toArray(String[]::new), new PrintStream(said));
        if (code != 0) {
            throw new IllegalStateException("format: " + said);
        }
    }
}
