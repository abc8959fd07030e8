package chronik.conformance;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.opentest4j.TestAbortedException;

/** Tells what becomes of each test, one JSON object on a line. A test that hangs fails, and takes the process with it. */
final class Results implements TestExecutionListener {
    private static final Pattern INVOCATION = Pattern.compile("test-template-invocation:#(\\d+)");
    private static final int NOTE_MAX = 300;

    private final ObjectMapper json = new ObjectMapper();
    private final PrintStream out;
    private final Set<String> wanted;
    private volatile String running;
    private volatile long begun;

    /** {@code wanted}: names to tell of; null for all. Others of the same method are run along and not told. */
    Results(PrintStream out, Set<String> wanted) {
        this.out = out;
        this.wanted = wanted;
    }

    /** Ends the process when a test runs longer than this, which one does that cannot be interrupted. */
    void endAfter(long seconds) {
        Thread watch = new Thread(() -> {
            while (true) {
                try {
                    Thread.sleep(1000);
                } catch (InterruptedException e) {
                    return;
                }
                String name = running;
                if (name != null && secondsSince(begun) > seconds) {
                    tell(name, "fail", secondsSince(begun), "hangs, and cannot be interrupted");
                    Runtime.getRuntime().halt(1);
                }
            }
        }, "watch");
        watch.setDaemon(true);
        watch.start();
    }

    private static double secondsSince(long nanos) {
        return (System.nanoTime() - nanos) / 1e9;
    }

    @Override
    public void executionStarted(TestIdentifier test) {
        if (test.isTest()) {
            begun = System.nanoTime();
            running = name(test);
        }
    }

    @Override
    public void executionSkipped(TestIdentifier test, String reason) {
        tell(name(test), "skip", 0, reason);
    }

    @Override
    public void executionFinished(TestIdentifier test, TestExecutionResult result) {
        Throwable cause = result.getThrowable().orElse(null);
        if (!test.isTest()) {
            if (cause != null) {
                tell(name(test), "fail", 0, note(cause));
            }
            return;
        }
        running = null;
        double seconds = secondsSince(begun);
        Throwable aborted = aborted(cause);
        if (cause == null) {
            tell(name(test), "pass", seconds, "");
        } else if (aborted != null) {
            tell(name(test), "skip", seconds, aborted.getMessage());
        } else {
            System.err.println("--- " + name(test));
            cause.printStackTrace();
            tell(name(test), "fail", seconds, note(cause));
        }
    }

    /** The reason to skip, also where the test wrapped it in a failure of its own. */
    private static Throwable aborted(Throwable cause) {
        for (Throwable one = cause; one != null; one = one.getCause()) {
            if (one instanceof TestAbortedException) {
                return one;
            }
        }
        return null;
    }

    private static String note(Throwable cause) {
        String text = String.valueOf(cause).replaceAll("\\s+", " ");
        return text.length() > NOTE_MAX ? text.substring(0, NOTE_MAX) : text;
    }

    private static String name(TestIdentifier test) {
        MethodSource source = (MethodSource) test.getSource().filter(MethodSource.class::isInstance).orElse(null);
        if (source == null) {
            return test.getDisplayName();
        }
        String className = source.getClassName();
        String name = className.substring(className.lastIndexOf('.') + 1) + "." + source.getMethodName();
        Matcher invocation = INVOCATION.matcher(test.getUniqueId());
        return invocation.find() && !invocation.group(1).equals("1") ? name + "[" + invocation.group(1) + "]" : name;
    }

    private synchronized void tell(String test, String outcome, double seconds, String note) {
        if (wanted != null && !wanted.contains(test)) {
            return;
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("test", test);
        line.put("outcome", outcome);
        line.put("seconds", Math.round(seconds * 1000) / 1000.0);
        line.put("note", note);
        try {
            out.println(json.writeValueAsString(line));
            out.flush();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
