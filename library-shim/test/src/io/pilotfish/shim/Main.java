package io.pilotfish.shim;

import com.cloudbees.groovy.cps.Outcome;
import java.nio.file.Path;

/** The tests of the library. */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        boolean update = arguments.length > 3 && arguments[3].equals("--update");
        if (arguments.length < 3) {
            System.err.println("Main golden|local LIBRARY BRIDGE [--update]");
            System.exit(2);
        }
        Path root = Path.of(arguments[1]).toAbsolutePath();
        Library library = new Library(root);
        boolean good;
        if (arguments[0].equals("golden")) {
            findsWhatCannotBeStored(library);
            Golden golden = new Golden(library, root.resolve("test"), arguments[2], update);
            new Cases(golden).all();
            good = golden.end();
        } else {
            Local.run(library, root, arguments[2]);
            good = true;
        }
        System.exit(good ? 0 : 1);
    }

    /** The engine itself: a script that keeps what cannot be stored must fail. */
    private static void findsWhatCannotBeStored(Library library) throws Exception {
        Build build = new Build("job", 1, 1, "", "", "");
        PlayWorld world = new PlayWorld(build.current, new Recorder());
        Steps.world = world;
        Outcome good = new Engine(world, library.loader).run(library.script("def list = [1, 2]\necho('x')\nreturn list.size()"), "/");
        if (!Integer.valueOf(2).equals(good.getNormal())) throw new IllegalStateException("the engine does not run: " + good);
        for (String kept : new String[] {"currentBuild.rawBuild", "[1].iterator()", "new Object()"}) {
            try {
                new Engine(world, library.loader).run(library.script("def kept = " + kept + "\necho('x')\nreturn kept"), "/");
            } catch (java.io.NotSerializableException e) {
                continue;
            }
            throw new IllegalStateException("nobody noticed that this cannot be stored: " + kept);
        }
    }
}
