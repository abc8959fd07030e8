package chronik.conformance;

import org.opentest4j.TestAbortedException;

/** The test cannot be asked of a broker in another process; the message says why, and becomes the note beside the skip. */
public final class Skip extends TestAbortedException {
    public Skip(String reason) {
        super(reason);
    }
}
