package chronik.conformance;

import java.util.AbstractMap;
import java.util.Collection;
import java.util.Set;

/** Numbers of nodes whose objects live in another process: counting and naming them works, having one does not. */
final class OutsideMap<V> extends AbstractMap<Integer, V> {
    private final String what;
    private final Set<Integer> ids;

    OutsideMap(String what, Set<Integer> ids) {
        this.what = what;
        this.ids = ids;
    }

    @Override
    public int size() {
        return ids.size();
    }

    @Override
    public Set<Integer> keySet() {
        return ids;
    }

    @Override
    public boolean containsKey(Object id) {
        return ids.contains(id);
    }

    @Override
    public V get(Object id) {
        throw outside();
    }

    @Override
    public Collection<V> values() {
        throw outside();
    }

    @Override
    public Set<Entry<Integer, V>> entrySet() {
        throw outside();
    }

    private Skip outside() {
        return new Skip("looks at " + what + "'s own objects, which are in another process");
    }
}
