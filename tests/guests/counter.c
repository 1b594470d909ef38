/* Says which signals come, in their handlers, and nothing else.
 *
 * counter lines SIGNAL...   a line for each; ends on SIGALRM, or with a line of input
 * counter sums SIGNAL...    how many of each, on SIGALRM; `all` once they are as many as $ALL says
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t came[65];
static int lines, left;

static void say(const char *text)
{
	if (write(1, text, strlen(text)) < 0)
		_exit(9);
}

static void say_number(int number, const char *after)
{
	char text[16] = {0};
	int at = sizeof(text) - 1;

	do
		text[--at] = '0' + number % 10;
	while (number /= 10);
	say(text + at);
	say(after);
}

static void handle(int signal)
{
	came[signal]++;
	if (lines)
		say_number(signal, "\n");
	else if (--left == 0)
		say("all\n");
}

static void end(int signal)
{
	(void)signal;
	if (!lines)
		for (int i = 1; i < 65; i++)
			if (came[i])
				say_number(came[i], " ");
	say("end\n");
	_exit(3);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = handle};
	char input[64];
	ssize_t len;

	lines = argc > 1 && !strcmp(argv[1], "lines");
	if (getenv("ALL"))
		left = atoi(getenv("ALL"));
	sigfillset(&action.sa_mask);
	for (int i = 2; i < argc; i++)
		if (sigaction(atoi(argv[i]), &action, NULL))
			return 2;
	action.sa_handler = end;
	sigaction(SIGALRM, &action, NULL);
	if (getenv("OWN_GROUP"))
		setpgid(0, 0);
	say("ready\n");
	while ((len = read(0, input, sizeof(input))) < 0)
		;
	if (len == 0)
		for (;;)
			pause();
	input[len < 64 ? len : 63] = 0;
	say("read ");
	say(input);
	return 8;
}
