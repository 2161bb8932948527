import java.nio.file.Files;
import java.nio.file.Path;
import java.security.Security;
import java.util.Date;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.tsp.ers.ERSByteData;
import org.bouncycastle.tsp.ers.ERSEvidenceRecord;

/**
 * Asks BouncyCastle about evidence records (RFC 4998).
 *
 * usage: java -cp '/usr/share/java/bcprov.jar:/usr/share/java/bcutil.jar:/usr/share/java/bcpkix.jar' ErsCheck.java [OBJECT RECORD]...
 *
 * One line for each pair: RECORD, a space, then OK or FAIL with the reason. Exit code 0 when all are OK, else 4.
 */
public class ErsCheck {
    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        boolean good = true;
        for (int i = 0; i + 1 < args.length; i += 2) {
            String verdict;
            try {
                check(Files.readAllBytes(Path.of(args[i])), Files.readAllBytes(Path.of(args[i + 1])));
                verdict = "OK";
            } catch (Exception e) {
                verdict = "FAIL " + e.getClass().getSimpleName() + ": " + e.getMessage();
                good = false;
            }
            System.out.println(args[i + 1] + " " + verdict);
        }
        System.exit(good ? 0 : 4);
    }

    static void check(byte[] object, byte[] der) throws Exception {
        ERSEvidenceRecord record = new ERSEvidenceRecord(der, new JcaDigestCalculatorProviderBuilder().build());
        record.validatePresent(new ERSByteData(object), new Date());
        X509CertificateHolder authority = record.getSigningCertificate();
        record.validate(new JcaSimpleSignerInfoVerifierBuilder().build(authority));
    }
}
