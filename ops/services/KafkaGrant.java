import java.io.FileReader;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AccessControlEntryFilter;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourcePatternFilter;
import org.apache.kafka.common.resource.ResourceType;

/**
 * What nodes may do on a Kafka broker, all in one call where the tool of Kafka needs a start of Java
 * for each node: KafkaGrant HOST:PORT PROPERTIES 'USER [NODE [PEER...]]'...
 *
 * A node creates, describes and reads its own three lanes, in groups of their names; it writes to
 * the lanes of its peers (of all, when none is named), sees how much waits there, and goes round by
 * the topic of the probe. Nothing else: what its user could do beside that ends. A user without a
 * node may do nothing any more.
 */
public final class KafkaGrant {
    private static final List<String> LANES = List.of("message", "content", "evidence");

    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        try (FileReader file = new FileReader(arguments[1])) {
            properties.load(file);
        }
        properties.put("bootstrap.servers", arguments[0]);
        try (Admin admin = Admin.create(properties)) {
            for (String line : List.of(arguments).subList(2, arguments.length)) {
                List<String> words = List.of(line.trim().split(" +"));
                Set<AclBinding> wanted = new HashSet<>();
                if (words.size() > 1) {
                    wanted = ofNode(words.get(0), words.get(1), words.subList(2, words.size()));
                }
                set(admin, words.get(0), wanted);
            }
        }
    }

    /** First what is new, then away with what is over: a node that works goes on working. */
    private static void set(Admin admin, String user, Set<AclBinding> wanted) throws Exception {
        var who = new AccessControlEntryFilter(
                "User:" + user, null, AclOperation.ANY, AclPermissionType.ANY);
        var all = new AclBindingFilter(ResourcePatternFilter.ANY, who);
        Collection<AclBinding> before = admin.describeAcls(all).values().get();
        admin.createAcls(wanted).all().get();
        List<AclBindingFilter> over = new ArrayList<>();
        for (AclBinding acl : before) {
            if (!wanted.contains(acl)) {
                over.add(acl.toFilter());
            }
        }
        admin.deleteAcls(over).all().get();
    }

    private static Set<AclBinding> ofNode(String user, String node, List<String> peers) {
        Set<AclBinding> acls = new HashSet<>();
        for (String lane : LANES) {
            String name = "pli." + node + "." + lane;
            for (AclOperation operation :
                    List.of(AclOperation.CREATE, AclOperation.DESCRIBE, AclOperation.READ)) {
                acls.add(allow(user, ResourceType.TOPIC, name, PatternType.LITERAL, operation));
            }
            acls.add(allow(user, ResourceType.GROUP, name, PatternType.LITERAL, AclOperation.READ));
        }
        List<String> prefixes = new ArrayList<>();
        for (String peer : peers) {
            prefixes.add("pli." + peer + ".");
        }
        for (String prefix : prefixes.isEmpty() ? List.of("pli.") : prefixes) {
            for (AclOperation operation : List.of(AclOperation.WRITE, AclOperation.DESCRIBE)) {
                acls.add(allow(user, ResourceType.TOPIC, prefix, PatternType.PREFIXED, operation));
            }
            // How far the reader is: content is published no faster than it is read.
            acls.add(allow(
                    user, ResourceType.GROUP, prefix, PatternType.PREFIXED, AclOperation.DESCRIBE));
        }
        for (AclOperation operation : List.of(
                AclOperation.CREATE, AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE)) {
            acls.add(allow(user, ResourceType.TOPIC, "pli.probe", PatternType.LITERAL, operation));
        }
        return acls;
    }

    private static AclBinding allow(
            String user, ResourceType type, String name, PatternType kind, AclOperation operation) {
        var entry =
                new AccessControlEntry("User:" + user, "*", operation, AclPermissionType.ALLOW);
        return new AclBinding(new ResourcePattern(type, name, kind), entry);
    }
}
