package ready
