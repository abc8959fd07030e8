package chronik.conformance;

import java.io.File;
import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.jar.JarFile;
import org.junit.platform.engine.DiscoverySelector;
import org.junit.platform.engine.discovery.DiscoverySelectors;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/** Runs tests of the suite, one after the other, with a line of JSON for each on standard output: {@code Run [NAMES]}. */
public final class Run {
    private static final String SUITE = "kafka-clients-integration-tests";
    private static final int TEST_TIMEOUT_S = 120;
    private static final int HANG_S = 180;

    private Run() {
    }

    /** NAMES is a file with a test on each line, {@code Class.method} or {@code Class.method[2]}; without it, all are run. */
    public static void main(String[] arguments) throws Exception {
        Set<String> names = arguments.length > 0 ? new LinkedHashSet<>(Files.readAllLines(Path.of(arguments[0]))) : null;
        Results results = new Results(System.out, names);
        System.setOut(System.err);
        results.endAfter(HANG_S);
        LauncherFactory.create().execute(
            LauncherDiscoveryRequestBuilder.request()
                .selectors(selectors(names))
                .configurationParameter("junit.jupiter.extensions.autodetection.enabled", "true")
                .configurationParameter("junit.jupiter.execution.timeout.default", TEST_TIMEOUT_S + " s")
                .build(),
            results
        );
        System.exit(0);
    }

    private static List<DiscoverySelector> selectors(Set<String> names) throws Exception {
        List<DiscoverySelector> selectors = new ArrayList<>();
        for (Class<?> found : classes()) {
            Method[] methods = found.getDeclaredMethods();
            Arrays.sort(methods, Comparator.comparing(Method::getName));
            for (Method method : methods) {
                String name = found.getSimpleName() + "." + method.getName();
                boolean wanted = names == null || names.stream().anyMatch(one -> one.equals(name) || one.startsWith(name + "["));
                if (wanted && isTest(method)) {
                    selectors.add(DiscoverySelectors.selectMethod(found, method));
                }
            }
        }
        return selectors;
    }

    private static boolean isTest(Method method) {
        return Arrays.stream(method.getAnnotations())
            .map(annotation -> annotation.annotationType().getSimpleName())
            .anyMatch(name -> name.equals("Test") || name.equals("ParameterizedTest") || name.startsWith("Cluster"));
    }

    /** The suite's classes, by the names in its archive. */
    private static List<Class<?>> classes() throws IOException, ClassNotFoundException {
        String archive = Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
            .filter(entry -> entry.contains(SUITE))
            .findFirst().orElseThrow();
        List<Class<?>> classes = new ArrayList<>();
        try (JarFile jar = new JarFile(archive)) {
            for (String entry : jar.stream().map(Object::toString).filter(name -> name.endsWith("Test.class")).sorted().toList()) {
                if (!entry.contains("$")) {
                    classes.add(Class.forName(entry.replace('/', '.').replaceAll("\\.class$", "")));
                }
            }
        }
        return classes;
    }
}
