/* A plugin for QEMU's user-mode emulator: how many instructions the guest has executed.
 *
 *     gcc -shared -fPIC -O2 -o count.so count.c
 *     qemu-aarch64 -d plugin -D marks.txt -plugin ./count.so PROGRAM
 *
 * Every getppid of the guest is a mark: it writes the running count, one decimal number a line.
 * That call needs no right, changes nothing, never fails, and is not made by Python on its own.
 *
 * Debian packages no qemu-plugin.h, so what is used of it is declared here: version 1 of the
 * interface, which QEMU 4.2 to 8.2 accept (docs/devel/tcg-plugins.rst of QEMU).
 */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

enum { NO_REGISTERS = 0, INLINE_ADD_U64 = 0, GETPPID_AARCH64 = 173 };

typedef uint64_t plugin_id;
struct block; /* of guest code, translated at once and executed as a whole */

extern void qemu_plugin_outs(const char *text);
extern size_t qemu_plugin_tb_n_insns(const struct block *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(
    plugin_id, void (*)(plugin_id, struct block *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(
    struct block *, int operation, void *target, uint64_t operand);
extern void qemu_plugin_register_vcpu_syscall_cb(
    plugin_id, void (*)(plugin_id, unsigned cpu, int64_t number, uint64_t, uint64_t, uint64_t,
                        uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

static uint64_t executed; /* by all threads; only one runs between marks that are compared */

static void count_block(plugin_id id, struct block *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(
        block, INLINE_ADD_U64, &executed, qemu_plugin_tb_n_insns(block));
}

static void mark(plugin_id id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                 uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    char line[32];

    (void)id, (void)cpu, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7,
        (void)a8;
    if (number != GETPPID_AARCH64)
        return;
    snprintf(line, sizeof line, "%" PRIu64 "\n", executed);
    qemu_plugin_outs(line);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, count_block);
    qemu_plugin_register_vcpu_syscall_cb(id, mark);
    return 0;
}
