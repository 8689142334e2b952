package hudson.util;

import java.util.Base64;

/** A secret. What is stored of it cannot be read at a glance, so that tests can look for the text. */
public class Secret {
    private final String plain;

    private Secret(String plain) {
        this.plain = plain;
    }

    public static Secret fromString(String text) {
        if (text.startsWith("{") && text.endsWith("}")) {
            byte[] bytes = Base64.getDecoder().decode(text.substring(1, text.length() - 1));
            return new Secret(new StringBuilder(new String(bytes)).reverse().toString());
        }
        return new Secret(text);
    }

    public String getPlainText() {
        return plain;
    }

    public String getEncryptedValue() {
        String turned = new StringBuilder(plain).reverse().toString();
        return "{" + Base64.getEncoder().encodeToString(turned.getBytes()) + "}";
    }
}
