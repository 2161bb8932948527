import eu.europa.esig.dss.enumerations.Indication;
import eu.europa.esig.dss.enumerations.SubIndication;
import eu.europa.esig.dss.model.DSSDocument;
import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.model.InMemoryDocument;
import eu.europa.esig.dss.simplereport.SimpleReport;
import eu.europa.esig.dss.simplereport.jaxb.XmlTimestamp;
import eu.europa.esig.dss.spi.DSSUtils;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.spi.x509.CommonTrustedCertificateSource;
import eu.europa.esig.dss.validation.SignedDocumentValidator;
import java.io.File;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Document;
import org.w3c.dom.Element;

/**
 * Asks the validator of the European Commission (DSS) about signatures, containers and evidence records.
 *
 * usage: DssCheck [--trust PEM]... [--at INSTANT] [--detached FILE]... [--over DATA FILE]... FILE...
 *
 * A FILE after --over is judged with DATA alone as what it covers.
 *
 * One line for each thing found, fields separated by tabs:
 *   file  what  indication  sub-indication  format  messages
 * "what" is signature, timestamp or record. What a container holds is judged too: each .p7m by itself
 * as FILE!NAME, each evidence record with its object as FILE!RECORD, and the object with the record as
 * FILE!NAME+RECORD.
 * Exit code 0 when everything is TOTAL_PASSED or PASSED without a warning, else 4; 1 is a fault.
 */
public class DssCheck {
    static final CommonTrustedCertificateSource TRUST = new CommonTrustedCertificateSource();
    static final List<DSSDocument> DETACHED = new ArrayList<>();
    static Date at = new Date();
    static boolean clean = true;

    public static void main(String[] args) throws Exception {
        List<String> files = new ArrayList<>();
        List<String[]> over = new ArrayList<>();
        for (int i = 0; i < args.length; i++) {
            if (args[i].equals("--trust")) {
                TRUST.addCertificate(DSSUtils.loadCertificate(new File(args[++i])));
            } else if (args[i].equals("--at")) {
                at = Date.from(Instant.parse(args[++i]));
            } else if (args[i].equals("--detached")) {
                DETACHED.add(new FileDocument(args[++i]));
            } else if (args[i].equals("--over")) {
                over.add(new String[] {args[++i], args[++i]});
            } else {
                files.add(args[i]);
            }
        }
        for (String[] pair : over) {
            judge(pair[1], new FileDocument(pair[1]), List.of(new FileDocument(pair[0])), List.of());
        }
        for (String file : files) {
            judge(file, new FileDocument(file), DETACHED, List.of());
            if (file.endsWith(".asice")) {
                judgeInside(file);
            }
        }
        System.exit(clean ? 0 : 4);
    }

    static void judgeInside(String file) throws Exception {
        try (ZipFile zip = new ZipFile(file)) {
            for (ZipEntry entry : java.util.Collections.list(zip.entries())) {
                String name = entry.getName();
                if (name.endsWith(".p7m")) {
                    judge(file + "!" + name, read(zip, name), List.of(), List.of());
                } else if (name.contains("ASiCEvidenceRecordManifest")) {
                    judgeRecord(file, zip, name);
                }
            }
        }
    }

    static void judgeRecord(String file, ZipFile zip, String manifest) throws Exception {
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        Document xml = factory.newDocumentBuilder().parse(zip.getInputStream(zip.getEntry(manifest)));
        String record = uri(xml, "SigReference");
        String object = uri(xml, "DataObjectReference");
        judge(file + "!" + record, read(zip, record), List.of(read(zip, object)), List.of());
        judge(file + "!" + object + "+" + record, read(zip, object), List.of(), List.of(read(zip, record)));
    }

    static String uri(Document xml, String element) {
        Element found = (Element) xml.getElementsByTagNameNS("*", element).item(0);
        return URLDecoder.decode(found.getAttribute("URI").replace("+", "%2B"), StandardCharsets.UTF_8);
    }

    static DSSDocument read(ZipFile zip, String name) throws Exception {
        return new InMemoryDocument(zip.getInputStream(zip.getEntry(name)).readAllBytes(), name);
    }

    static void judge(String name, DSSDocument document, List<DSSDocument> detached, List<DSSDocument> records) {
        SimpleReport report;
        try {
            SignedDocumentValidator validator = SignedDocumentValidator.fromDocument(document);
            CommonCertificateVerifier verifier = new CommonCertificateVerifier();
            verifier.setTrustedCertSources(TRUST);
            verifier.setAIASource(null);
            validator.setCertificateVerifier(verifier);
            validator.setValidationTime(at);
            if (!detached.isEmpty()) {
                validator.setDetachedContents(detached);
            }
            if (!records.isEmpty()) {
                validator.setDetachedEvidenceRecordDocuments(records);
            }
            report = validator.validateDocument().getSimpleReport();
        } catch (Exception e) {
            line(name, "file", "NOT_RECOGNISED", "", "", List.of(e.getClass().getSimpleName() + ": " + e.getMessage()));
            return;
        }
        int found = 0;
        for (String id : report.getSignatureIdList()) {
            found++;
            tell(report, name, "signature", id, String.valueOf(report.getSignatureFormat(id)));
            for (XmlTimestamp stamp : report.getSignatureTimestamps(id)) {
                tell(report, name, "timestamp", stamp.getId(), "");
            }
        }
        for (String id : report.getEvidenceRecordIdList()) {
            found++;
            tell(report, name, "record", id, String.valueOf(report.getEvidenceRecordPOE(id) == null ? "" : report.getEvidenceRecordPOE(id).toInstant()));
            for (XmlTimestamp stamp : report.getEvidenceRecordTimestamps(id)) {
                tell(report, name, "timestamp", stamp.getId(), "");
            }
        }
        for (String id : report.getTimestampIdList()) {
            found++;
            tell(report, name, "timestamp", id, "");
        }
        if (found == 0) {
            line(name, "file", "NOTHING_FOUND", "", "", List.of());
        }
    }

    static void tell(SimpleReport report, String name, String what, String id, String format) {
        List<String> messages = new ArrayList<>();
        report.getAdESValidationErrors(id).forEach(m -> messages.add("E:" + m.getValue()));
        report.getAdESValidationWarnings(id).forEach(m -> messages.add("W:" + m.getValue()));
        Indication indication = report.getIndication(id);
        SubIndication sub = report.getSubIndication(id);
        line(name, what, String.valueOf(indication), sub == null ? "" : sub.toString(), format, messages);
    }

    static void line(String name, String what, String indication, String sub, String format, List<String> messages) {
        clean &= messages.isEmpty() && (indication.equals("TOTAL_PASSED") || indication.equals("PASSED"));
        System.out.println(String.join("\t", name, what, indication, sub, format, String.join(" | ", messages)));
    }
}
