// Compiles rules with libseccomp as runc does, and writes the program. Standard input, a word a field:
//   default ACTION ERRNO
//   arch NAME
//   rule ACTION ERRNO CALL COUNT {INDEX OP VALUE VALUE_TWO}*
// With an argument, an architecture: writes the numbers of the calls whose names it reads.
#include <errno.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fail(const char *what, int error)
{
	fprintf(stderr, "%s: %s\n", what, strerror(error));
	exit(1);
}

static uint32_t action(const char *name, unsigned error)
{
	if (!strcmp(name, "SCMP_ACT_ALLOW"))
		return SCMP_ACT_ALLOW;
	if (!strcmp(name, "SCMP_ACT_NOTIFY"))
		return SCMP_ACT_NOTIFY;
	if (!strcmp(name, "SCMP_ACT_LOG"))
		return SCMP_ACT_LOG;
	if (!strcmp(name, "SCMP_ACT_ERRNO"))
		return SCMP_ACT_ERRNO(error);
	fail(name, EINVAL);
	return 0;
}

static enum scmp_compare compare(const char *op)
{
	static const struct { const char *name; enum scmp_compare op; } all[] = {
		{ "SCMP_CMP_EQ", SCMP_CMP_EQ }, { "SCMP_CMP_NE", SCMP_CMP_NE },
		{ "SCMP_CMP_LT", SCMP_CMP_LT }, { "SCMP_CMP_GT", SCMP_CMP_GT },
		{ "SCMP_CMP_LE", SCMP_CMP_LE }, { "SCMP_CMP_GE", SCMP_CMP_GE },
		{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
	};
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (!strcmp(op, all[i].name))
			return all[i].op;
	fail(op, EINVAL);
	return 0;
}

static void add(scmp_filter_ctx filter, uint32_t default_action)
{
	char name[64], call[64], op[32];
	unsigned error_number, count, index;
	struct scmp_arg_cmp args[6];
	if (scanf("%63s %u %63s %u", name, &error_number, call, &count) != 4 || count > 6)
		fail("rule", EINVAL);
	for (unsigned i = 0; i < count; i++) {
		uint64_t value, value_two;
		if (scanf("%u %31s %" SCNu64 " %" SCNu64, &index, op, &value, &value_two) != 4)
			fail("condition", EINVAL);
		args[i] = (struct scmp_arg_cmp){ index, compare(op), value, value_two };
	}
	int number = seccomp_syscall_resolve_name(call);
	uint32_t wanted = action(name, error_number);
	// Both are no error to a runtime.
	if (number == __NR_SCMP_ERROR || wanted == default_action)
		return;
	int error = seccomp_rule_add_array(filter, wanted, number, count, args);
	if (error)
		fail(call, -error);
}

static int print_numbers(const char *architecture)
{
	char name[64];
	while (scanf("%63s", name) == 1)
		printf("%d\n", seccomp_syscall_resolve_name_arch(seccomp_arch_resolve_name(architecture), name));
	return 0;
}

int main(int argc, char **argv)
{
	char word[16], name[64];
	unsigned error_number;
	if (argc > 1)
		return print_numbers(argv[1]);
	if (scanf("%15s %63s %u", word, name, &error_number) != 3 || strcmp(word, "default"))
		fail("default", EINVAL);
	uint32_t default_action = action(name, error_number);
	scmp_filter_ctx filter = seccomp_init(default_action);
	if (!filter)
		fail("seccomp_init", ENOMEM);
	while (scanf("%15s", word) == 1) {
		if (!strcmp(word, "rule")) {
			add(filter, default_action);
			continue;
		}
		if (strcmp(word, "arch") || scanf("%63s", name) != 1)
			fail(word, EINVAL);
		int error = seccomp_arch_add(filter, seccomp_arch_resolve_name(name));
		if (error && error != -EEXIST)
			fail(name, -error);
	}
	int error = seccomp_export_bpf(filter, STDOUT_FILENO);
	if (error)
		fail("seccomp_export_bpf", -error);
	return 0;
}
