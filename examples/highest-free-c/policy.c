// An allocation policy in C: like lowest-free, but it takes the highest free address. It keeps the same promises
// (see tests/vectors): what is asked for by name is given or refused with a reason, a sharing group stays together,
// a Service gets the address back that it held before. Where it may choose, it counts from the top.
#include "allocator.h"

#include <stdlib.h>
#include <string.h>

typedef outrigger_plugin_types_ip_address_t address_t;
typedef outrigger_plugin_types_ip_family_t family_t;
typedef exports_outrigger_plugin_policy_request_t request_t;
typedef exports_outrigger_plugin_policy_outcome_t outcome_t;
typedef exports_outrigger_plugin_policy_list_ip_address_t addresses_t;

// ---- text ----

// A message under construction. What does not fit is cut off: the host shows one sentence.
typedef struct {
  char octets[512];
  size_t length;
} text_t;

static void add_octets(text_t *text, const void *octets, size_t length) {
  size_t room = sizeof text->octets - text->length;
  size_t taken = length < room ? length : room;
  memcpy(text->octets + text->length, octets, taken);
  text->length += taken;
}

static void add(text_t *text, const char *words) { add_octets(text, words, strlen(words)); }

static void add_number(text_t *text, uint32_t number, uint32_t base) {
  char digits[10];
  size_t start = sizeof digits;
  do {
    digits[--start] = "0123456789abcdef"[number % base];
    number /= base;
  } while (number > 0);
  add_octets(text, digits + start, sizeof digits - start);
}

// RFC 5952: the longest run of two or more zero groups becomes "::", the first of equally long ones.
static void add_ipv6(text_t *text, const outrigger_plugin_types_ipv6_address_t *address) {
  const uint16_t groups[8] = {address->f0, address->f1, address->f2, address->f3,
                              address->f4, address->f5, address->f6, address->f7};
  int best = 8, best_length = 1;
  for (int start = 0; start < 8; start++) {
    int end = start;
    while (end < 8 && groups[end] == 0) end++;
    if (end - start > best_length) best = start, best_length = end - start;
  }
  for (int i = 0; i < 8; i++) {
    if (i == best) {
      add(text, "::");
      i += best_length - 1;
    } else {
      if (i > 0 && i != best + best_length) add(text, ":");
      add_number(text, groups[i], 16);
    }
  }
}

static void add_address(text_t *text, const address_t *address) {
  if (address->tag == OUTRIGGER_PLUGIN_TYPES_IP_ADDRESS_IPV6) {
    add_ipv6(text, &address->val.ipv6);
    return;
  }
  const outrigger_plugin_types_ipv4_address_t *ipv4 = &address->val.ipv4;
  const uint8_t octets[4] = {ipv4->f0, ipv4->f1, ipv4->f2, ipv4->f3};
  for (int i = 0; i < 4; i++) {
    if (i > 0) add(text, ".");
    add_number(text, octets[i], 10);
  }
}

static void add_family(text_t *text, family_t family) {
  add(text, family == OUTRIGGER_PLUGIN_TYPES_IP_FAMILY_IPV4 ? "IPv4" : "IPv6");
}

static void add_pool(text_t *text) {
  allocator_string_t name;
  outrigger_plugin_pool_name(&name);
  add(text, "pool \"");
  add_octets(text, name.ptr, name.len);
  add(text, "\"");
  allocator_string_free(&name);
}

// ---- addresses ----

// The cases of ip-address and ip-family have the same numbers.
static family_t family_of(const address_t *address) { return address->tag; }

static bool same(const address_t *a, const address_t *b) {
  if (a->tag != b->tag) return false;
  if (a->tag == OUTRIGGER_PLUGIN_TYPES_IP_ADDRESS_IPV4)
    return memcmp(&a->val.ipv4, &b->val.ipv4, sizeof a->val.ipv4) == 0;
  return memcmp(&a->val.ipv6, &b->val.ipv6, sizeof a->val.ipv6) == 0;
}

static bool contains(const addresses_t *list, const address_t *address) {
  for (size_t i = 0; i < list->len; i++)
    if (same(&list->ptr[i], address)) return true;
  return false;
}

static bool asks_for(const request_t *request, family_t family) {
  for (size_t i = 0; i < request->families.len; i++)
    if (request->families.ptr[i] == family) return true;
  return false;
}

// Takes the first address out of a list that the host gave.
static bool first(outrigger_plugin_pool_list_ip_address_t *list, address_t *found) {
  bool any = list->len > 0;
  if (any) *found = list->ptr[0];
  outrigger_plugin_pool_list_ip_address_free(list);
  return any;
}

// ---- refusals ----

static void refuse(outcome_t *outcome, const char *reason, const text_t *message) {
  outcome->tag = EXPORTS_OUTRIGGER_PLUGIN_POLICY_OUTCOME_REFUSE;
  allocator_string_dup(&outcome->val.refuse.reason, reason);
  allocator_string_dup_n(&outcome->val.refuse.message, message->octets, message->length);
  outcome->val.refuse.retry_after_ms = 0;
}

static void refuse_exhausted(outcome_t *outcome, family_t family) {
  outrigger_plugin_pool_pool_count_t count;
  outrigger_plugin_pool_count(family, &count);
  text_t message = {.length = 0};
  add_pool(&message);
  if (count.total == 0) {
    add(&message, " has no ");
    add_family(&message, family);
    add(&message, " addresses");
  } else {
    add(&message, " has no free ");
    add_family(&message, family);
    add(&message, " address: ");
    add_number(&message, count.held, 10);
    add(&message, " of ");
    add_number(&message, count.total, 10);
    add(&message, " are held");
  }
  refuse(outcome, "PoolExhausted", &message);
}

static void add_holders(text_t *message, address_t *address) {
  outrigger_plugin_pool_list_holder_t holders;
  outrigger_plugin_pool_holders(address, &holders);
  for (size_t i = 0; i < holders.len; i++) {
    const outrigger_plugin_pool_service_t *service = &holders.ptr[i].service;
    if (i > 0) add(message, ", ");
    add_octets(message, service->namespace_.ptr, service->namespace_.len);
    add(message, "/");
    add_octets(message, service->name.ptr, service->name.len);
  }
  outrigger_plugin_pool_list_holder_free(&holders);
}

// ---- the decision ----

// There are no settings: "{}", with white space as JSON allows it (RFC 8259 section 2).
static bool config_is_empty(const allocator_string_t *config) {
  const char *expected = "{}";
  for (size_t i = 0; i < config->len; i++) {
    char octet = (char)config->ptr[i];
    if (octet == ' ' || octet == '\t' || octet == '\n' || octet == '\r') continue;
    if (*expected == '\0' || octet != *expected++) return false;
  }
  return *expected == '\0';
}

// Whether the request may have an address that it names.
static bool may_have(address_t *address, outcome_t *outcome) {
  text_t message = {.length = 0};
  add_address(&message, address);
  switch (outrigger_plugin_pool_state(address)) {
  case OUTRIGGER_PLUGIN_POOL_ADDRESS_STATE_FREE:
  case OUTRIGGER_PLUGIN_POOL_ADDRESS_STATE_SHAREABLE:
    return true;
  case OUTRIGGER_PLUGIN_POOL_ADDRESS_STATE_TAKEN:
    add(&message, " is held by ");
    add_holders(&message, address);
    refuse(outcome, "AddressTaken", &message);
    return false;
  case OUTRIGGER_PLUGIN_POOL_ADDRESS_STATE_EXCLUDED:
    add(&message, " is excluded from ");
    add_pool(&message);
    refuse(outcome, "AddressExcluded", &message);
    return false;
  default: // A state that this policy does not know is no state to give an address out in.
    add(&message, " is not in ");
    add_pool(&message);
    refuse(outcome, "AddressOutsidePool", &message);
    return false;
  }
}

// Finds the addresses asked for by name, at most one per family, or refuses. `wanted` is indexed by family.
static bool find_wanted(const request_t *request, const address_t *wanted[2], outcome_t *outcome) {
  for (size_t i = 0; i < request->wanted.len; i++) {
    address_t *address = &request->wanted.ptr[i];
    if (contains(&request->holds, address)) continue; // Not to be assigned again.
    family_t family = family_of(address);
    text_t message = {.length = 0};
    if (!asks_for(request, family)) {
      add_address(&message, address);
      add(&message, " is requested, but the Service needs no ");
      add_family(&message, family);
      add(&message, " address");
      refuse(outcome, "WrongFamily", &message);
      return false;
    }
    if (!may_have(address, outcome)) return false;
    if (wanted[family] != NULL && !same(wanted[family], address)) {
      add_address(&message, wanted[family]);
      add(&message, " and ");
      add_address(&message, address);
      add(&message, " are requested, but a Service has only one ");
      add_family(&message, family);
      add(&message, " address");
      refuse(outcome, "WrongFamily", &message);
      return false;
    }
    wanted[family] = address;
  }
  return true;
}

static bool choose(const request_t *request, family_t family, address_t *chosen) {
  outrigger_plugin_pool_list_ip_address_t found;
  if (request->sharing_key.len > 0) {
    outrigger_plugin_pool_shareable(family, 1, &found);
    if (first(&found, chosen)) return true;
  }
  for (size_t i = 0; i < request->previous.len; i++) {
    address_t *previous = &request->previous.ptr[i];
    if (family_of(previous) == family &&
        outrigger_plugin_pool_state(previous) == OUTRIGGER_PLUGIN_POOL_ADDRESS_STATE_FREE) {
      *chosen = *previous;
      return true;
    }
  }
  outrigger_plugin_pool_pool_count_t count;
  outrigger_plugin_pool_count(family, &count);
  if (count.free == 0) return false;
  outrigger_plugin_pool_nth_free(family, count.free - 1, &found);
  return first(&found, chosen);
}

static void decide(const request_t *request, outcome_t *outcome) {
  if (!config_is_empty(&request->config)) {
    text_t message = {.length = 0};
    add(&message, "/: this policy has no settings: leave its config out");
    refuse(outcome, "InvalidConfig", &message);
    return;
  }
  const address_t *wanted[2] = {NULL, NULL};
  if (!find_wanted(request, wanted, outcome)) return;

  addresses_t assigned = {.ptr = NULL, .len = 0};
  if (request->families.len > 0) {
    assigned.ptr = malloc(request->families.len * sizeof(address_t));
    if (assigned.ptr == NULL) abort();
  }
  bool missing = false;
  family_t first_missing = 0;
  for (size_t i = 0; i < request->families.len; i++) {
    family_t family = request->families.ptr[i];
    address_t *next = &assigned.ptr[assigned.len];
    if (wanted[family] != NULL) {
      *next = *wanted[family];
      assigned.len++;
    } else if (choose(request, family, next)) {
      assigned.len++;
    } else if (!missing) {
      missing = true;
      first_missing = family;
    }
  }
  if (missing && (request->all_families || assigned.len == 0)) {
    free(assigned.ptr);
    refuse_exhausted(outcome, first_missing);
    return;
  }
  outcome->tag = EXPORTS_OUTRIGGER_PLUGIN_POLICY_OUTCOME_ASSIGN;
  outcome->val.assign = assigned;
}

void exports_outrigger_plugin_policy_allocate(
    request_t *request, exports_outrigger_plugin_policy_list_http_response_t *answers, outcome_t *outcome) {
  decide(request, outcome);
  exports_outrigger_plugin_policy_request_free(request);
  exports_outrigger_plugin_policy_list_http_response_free(answers);
}
