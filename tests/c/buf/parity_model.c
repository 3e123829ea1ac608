/* parity_model.c - the random operations of model.h, by the public interface. */
#define MODEL_FILES 0 /* libevent leaves some open when their bytes have been moved */

#include "model.h"

TEST(random_operations_do_what_flat_arrays_say) {
    for (unsigned seed = 1; seed <= 40; seed++)
        model_run(seed, 800);
}
