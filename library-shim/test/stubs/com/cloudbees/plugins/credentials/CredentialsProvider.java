package com.cloudbees.plugins.credentials;

import com.cloudbees.plugins.credentials.common.IdCredentials;
import com.cloudbees.plugins.credentials.domains.DomainRequirement;
import hudson.model.ItemGroup;
import hudson.model.Run;
import java.util.ArrayList;
import java.util.List;
import org.acegisecurity.Authentication;

/** What the library uses of the class of the credentials plugin. */
public class CredentialsProvider {
    public static final List<IdCredentials> ALL = new ArrayList<>();

    public static <C> List<C> lookupCredentials(
            Class<C> type, ItemGroup<?> group, Authentication who, List<DomainRequirement> domains) {
        List<C> found = new ArrayList<>();
        for (IdCredentials one : ALL) {
            if (type.isInstance(one)) found.add(type.cast(one));
        }
        return found;
    }

    public static <C extends IdCredentials> C findCredentialById(
            String id, Class<C> type, Run<?, ?> run, DomainRequirement... domains) {
        for (IdCredentials one : ALL) {
            if (one.getId().equals(id) && type.isInstance(one)) return type.cast(one);
        }
        return null;
    }
}
