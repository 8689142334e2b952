package pilotfish.reader;

import java.io.ObjectStreamClass;
import java.io.ObjectStreamField;
import java.util.Set;
import java.util.TreeSet;

/** What the readers met beside objects. */
final class Findings {
    /** Implicit in both libraries, so it changed with the class; the agent writes that of a current controller. */
    private static final Set<String> OTHER_SUID = Set.of("hudson.remoting.ProxyException");

    /** Fields whose declared type changed between the library and current peers; the JDK reads either. */
    private static final Set<String> OTHER_TYPE = Set.of("hudson.remoting.Response.returnValue");

    private final Set<String> unknown = new TreeSet<>();
    private final Set<String> foreign = new TreeSet<>();
    private final Set<String> breaches = new TreeSet<>();

    Set<String> unknown() {
        return unknown;
    }

    Set<String> foreign() {
        return foreign;
    }

    Set<String> breaches() {
        return breaches;
    }

    /**
     * The library's class or our stand-in for a descriptor. A stand-in replaces a class that the library lacks, or one
     * that asks for a live channel while it is read; the latter's descriptor is compared with the library's here.
     */
    Class<?> protocolClass(ObjectStreamClass desc) throws ClassNotFoundException {
        String name = desc.getName();
        Class<?> substitute = Substitutes.of(name);
        Class<?> library;
        try {
            library = Class.forName(name, false, Findings.class.getClassLoader());
        } catch (ClassNotFoundException e) {
            unknown.add(name);
            if (substitute == null) throw e;
            return substitute;
        }
        ObjectStreamClass expected = ObjectStreamClass.lookup(library);
        if (expected == null) {
            breaches.add(name + " is not serialisable in the library");
        } else if (expected.getSerialVersionUID() != desc.getSerialVersionUID()) {
            if (!OTHER_SUID.contains(name)) {
                breaches.add(name + " has serialVersionUID " + desc.getSerialVersionUID() + ", the library's " + expected.getSerialVersionUID());
            }
        } else {
            for (ObjectStreamField field : desc.getFields()) {
                ObjectStreamField same = expected.getField(field.getName());
                String type = typeOf(field);
                if (OTHER_TYPE.contains(name + "." + field.getName())) continue;
                if (same != null && !typeOf(same).equals(type)) {
                    breaches.add(name + "." + field.getName() + " has type " + type);
                }
            }
        }
        return substitute != null ? substitute : library;
    }

    private static String typeOf(ObjectStreamField field) {
        return field.isPrimitive() ? String.valueOf(field.getTypeCode()) : field.getTypeString();
    }
}
