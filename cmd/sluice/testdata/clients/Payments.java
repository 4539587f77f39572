// What a Java service does with Sluice: it produces payments in transactions, one
// of which it takes back, and reads decisions, committed ones only.
// java -cp 'lib/*' Payments.java BROKERS COUNT

import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Payments {
    public static void main(String[] args) throws Exception {
        String brokers = args[0];
        int count = Integer.parseInt(args[1]);
        Map<String, Object> out = Map.of(
            "bootstrap.servers", brokers, "transactional.id", "java-shop",
            "key.serializer", StringSerializer.class, "value.serializer", StringSerializer.class);
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(out)) {
            producer.initTransactions();
            producer.beginTransaction();
            for (int i = 0; i < 10; i++) send(producer, "java-taken-back-" + i);
            producer.flush();
            producer.abortTransaction();
            producer.beginTransaction();
            for (int i = 0; i < count; i++) send(producer, "java-" + i);
            producer.commitTransaction();
        }
        Map<String, Object> in = Map.of(
            "bootstrap.servers", brokers, "group.id", "java-shop", "auto.offset.reset", "earliest",
            "isolation.level", "read_committed", "enable.auto.commit", "false",
            "key.deserializer", StringDeserializer.class, "value.deserializer", StringDeserializer.class);
        Pattern event = Pattern.compile("\"event\":\"(java-[^\"]+)\".*\"action\":\"(allow|review|block)\"");
        Map<String, Integer> seen = new HashMap<>();
        int twice = 0, types = 0;
        long end = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(in)) {
            consumer.subscribe(List.of("decisions"));
            while (seen.size() < count && System.nanoTime() < end) {
                for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(500))) {
                    Matcher m = event.matcher(r.value());
                    if (!m.find()) continue;
                    if (seen.merge(m.group(1), 1, Integer::sum) > 1) twice++;
                    if (new String(r.headers().lastHeader("ce_type").value()).equals("sluice.decision")) types++;
                }
            }
            consumer.commitSync();
        }
        long takenBack = seen.keySet().stream().filter(id -> id.startsWith("java-taken-back")).count();
        System.out.printf("%d decided, %d twice, %d of what was taken back, %d with their type%n", seen.size(), twice, takenBack, types);
    }

    static void send(KafkaProducer<String, String> producer, String id) {
        producer.send(new ProducerRecord<>("payments", id,
            "{\"event\":{\"id\":\"" + id + "\",\"type\":\"payment.authorization\",\"time\":\"" + Instant.now() + "\"},"
            + "\"amount\":{\"value\":\"12.30\",\"currency\":\"USD\"},\"customer\":{\"id\":\"" + id + "\"}}"));
    }
}
