// SPDX-License-Identifier: Apache-2.0
// The official SDK volcengine-java-sdk, unmodified: signs, retries by itself and throws ApiException.
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.volcengine.ApiClient;
import com.volcengine.ApiException;
import com.volcengine.ContentType;
import com.volcengine.HttpMethod;
import com.volcengine.UniversalApi;
import com.volcengine.UniversalRequest;
import com.volcengine.sign.Credentials;
import com.volcengine.version.Version;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

public class JavaSdk {
    private static JsonObject op;
    private static final Gson GSON = new GsonBuilder().serializeNulls().create();

    private static String text(String key) {
        return op.get(key).isJsonNull() ? null : op.get(key).getAsString();
    }

    private static ApiClient client() {
        String key = op.getAsJsonArray("keys").get(0).getAsString();
        String secret = op.getAsJsonArray("keys").get(1).getAsString();
        ApiClient client = new ApiClient().setCredentials(Credentials.getCredentials(key, secret))
            .setRegion(text("region")).setDisableSSL(true);
        if (text("host") != null)
            client.setEndpoint(text("host"));
        if (text("timeout") != null)
            client.setReadTimeout((int) (op.get("timeout").getAsDouble() * 1000));
        client.setAutoRetry(op.get("retry").getAsBoolean());
        client.setMinRetryDelayMs(5);
        return client;
    }

    private static Map<String, Object> get(UniversalApi api, Integer page) throws ApiException {
        Map<String, Object> input = new HashMap<>();
        input.put("Id", text("id"));
        if (page != null)
            input.put("PageNumber", page.toString());
        return api.doCall(request(HttpMethod.GET, ContentType.Default), input);
    }

    private static UniversalRequest request(HttpMethod method, ContentType type) {
        return new UniversalRequest(text("service"), text("action"), text("version"), method, type);
    }

    private static Object post(UniversalApi api) throws ApiException {
        @SuppressWarnings("unchecked")
        Map<String, Object> input = GSON.fromJson(op.get("data"), Map.class);
        return api.doCall(request(HttpMethod.POST, ContentType.ApplicationJSON), input);
    }

    private static boolean burst(UniversalApi api, int pages) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(16);
        List<Future<Map<String, Object>>> calls = new ArrayList<>();
        for (int n = 1; n <= pages; n++) {
            Integer page = n;
            calls.add(pool.submit(() -> get(api, page)));
        }
        boolean all = true;
        for (Future<Map<String, Object>> call : calls)
            all = call.get() != null && all;
        pool.shutdown();
        return all;
    }

    public static void main(String[] args) throws Exception {
        if (args[0].equals("version")) {
            System.out.println(Version.SDK_VERSION);
            return;
        }
        op = new Gson().fromJson(args[0], JsonObject.class);
        UniversalApi api = new UniversalApi(client());
        Map<String, Object> outcome = new HashMap<>();
        outcome.put("status", 200);
        outcome.put("body", "");
        outcome.put("error", null);
        try {
            if (op.get("pages").getAsInt() > 0) {
                if (!burst(api, op.get("pages").getAsInt()))
                    outcome.put("status", "not all");
            } else {
                Object answer = text("op").equals("json") ? post(api) : get(api, null);
                outcome.put("body", GSON.toJson(answer));
            }
        } catch (ApiException e) {
            Map<String, Object> error = new HashMap<>();
            String cause = e.getCause() == null ? "" : " " + e.getCause().getClass().getSimpleName();
            error.put("type", "ApiException" + cause);
            error.put("message", e.getMessage());
            outcome.put("status", e.getCode() == 0 ? null : e.getCode());
            outcome.put("body", e.getResponseBody());
            outcome.put("error", error);
        }
        System.out.println(GSON.toJson(outcome));
        System.exit(0); // the SDK's pool of connections has a thread of its own
    }
}
