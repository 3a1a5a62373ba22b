// A program to be recorded: Bullet's rigid bodies, on malloc as it comes. Boxes and spheres fall on a plane;
// each frame some are shot in and the oldest taken out, rays are cast, contacts read. 240 frames, fixed seed.
// clock() ends a frame for the recorder.
#include <btBulletDynamicsCommon.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace {

constexpr std::size_t kFrames = 240;
constexpr std::size_t kBodiesFirst = 300;
constexpr std::size_t kBodiesPerFrame = 4;
constexpr std::size_t kRaysPerFrame = 64;

// The same in every library.
class Random {
 public:
  float Next() {
    state_ = state_ * 1664525u + 1013904223u;
    return static_cast<float>(state_ >> 8) / static_cast<float>(1u << 24);
  }

 private:
  std::uint32_t state_ = 1;
};

struct Body {
  std::unique_ptr<btCollisionShape> shape;
  std::unique_ptr<btMotionState> motion;
  std::unique_ptr<btRigidBody> body;
};

class World {
 public:
  World() {
    world_.setGravity(btVector3(0, -10, 0));
    ground_.shape = std::make_unique<btStaticPlaneShape>(btVector3(0, 1, 0), 0.0f);
    Enter(ground_, 0, btVector3(0, 0, 0));
    for (std::size_t index = 0; index < kBodiesFirst; ++index) Drop();
  }
  ~World() {
    while (!bodies_.empty()) RemoveOldest();
    world_.removeRigidBody(ground_.body.get());
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  std::size_t Frame() {
    for (std::size_t index = 0; index < kBodiesPerFrame; ++index) {
      RemoveOldest();
      Drop();
    }
    world_.stepSimulation(1.0f / 60.0f, 1, 1.0f / 60.0f);
    return CastRays() + ReadContacts();
  }

 private:
  void Enter(Body& body, float mass, const btVector3& origin) {
    btVector3 inertia(0, 0, 0);
    if (mass != 0) body.shape->calculateLocalInertia(mass, inertia);
    body.motion = std::make_unique<btDefaultMotionState>(btTransform(btQuaternion::getIdentity(), origin));
    body.body = std::make_unique<btRigidBody>(
        btRigidBody::btRigidBodyConstructionInfo(mass, body.motion.get(), body.shape.get(), inertia));
    world_.addRigidBody(body.body.get());
  }
  void Drop() {
    Body body;
    const float size = 0.3f + random_.Next();
    if (random_.Next() < 0.5f) {
      body.shape = std::make_unique<btBoxShape>(btVector3(size, size, size));
    } else {
      body.shape = std::make_unique<btSphereShape>(size);
    }
    Enter(body, 1 + size, btVector3(20 * random_.Next(), 2 + 20 * random_.Next(), 20 * random_.Next()));
    bodies_.push_back(std::move(body));
  }
  void RemoveOldest() {
    world_.removeRigidBody(bodies_.front().body.get());
    bodies_.pop_front();
  }
  std::size_t CastRays() {
    std::vector<btVector3> hits;
    for (std::size_t index = 0; index < kRaysPerFrame; ++index) {
      const btVector3 from(20 * random_.Next(), 40, 20 * random_.Next());
      const btVector3 to(from.x(), -1, from.z());
      btCollisionWorld::AllHitsRayResultCallback all(from, to);
      world_.rayTest(from, to, all);
      for (int hit = 0; hit < all.m_hitPointWorld.size(); ++hit) hits.push_back(all.m_hitPointWorld[hit]);
    }
    return hits.size();
  }
  std::size_t ReadContacts() {
    std::vector<std::string> names;
    for (int index = 0; index < dispatcher_.getNumManifolds(); ++index) {
      const int points = dispatcher_.getManifoldByIndexInternal(index)->getNumContacts();
      if (points != 0)
        names.push_back("contact pair " + std::to_string(index) + ": " + std::to_string(points));
    }
    return names.size();
  }

  btDefaultCollisionConfiguration configuration_;
  btCollisionDispatcher dispatcher_{&configuration_};
  btDbvtBroadphase broadphase_;
  btSequentialImpulseConstraintSolver solver_;
  btDiscreteDynamicsWorld world_{&dispatcher_, &broadphase_, &solver_, &configuration_};
  Body ground_;
  std::deque<Body> bodies_;
  Random random_;
};

}  // namespace

int main() {
  World world;
  std::size_t seen = 0;
  for (std::size_t frame = 0; frame < kFrames; ++frame) {
    seen += world.Frame();
    [[maybe_unused]] const std::clock_t now = std::clock();
  }
  std::printf("%zu hits and contacts\n", seen);
  return 0;
}
